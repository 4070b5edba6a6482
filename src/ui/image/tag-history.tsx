/** Where the tag pointed: each move with its time and its author, and a way back to what is still held. */
import type { ImageRow, Rights, TagMoveRow } from '../../http/api/schema/images.ts';
import { ActionButton } from '../actions/action-buttons.tsx';
import { DigestText } from '../parts/copy.tsx';
import { Mark } from '../parts/notice.tsx';
import { now } from '../state/changes.ts';
import { isOffered } from '../state/session.ts';
import { formatLast, formatMoment } from '../text/figures.ts';

interface TagHistoryProps {
  readonly image: ImageRow;
  readonly moves: readonly TagMoveRow[];
  readonly may: Rights;
}

export function TagHistory({ image, moves, may }: TagHistoryProps) {
  if (moves.length === 0)
    return <p class="quiet">{image.tag === null ? 'It has no tag.' : 'No move of this tag is known.'}</p>;
  const mayRestore = image.upstream === 'hosted' && may.admin && isOffered('restore');
  return (
    <ol class="moves">
      {moves.map(({ at, digest, user, how, content }, index) => (
        <li key={`${at} ${index}`} class={index === 0 ? 'move move-now' : 'move'}>
          <p class="move-time">
            <time dateTime={at} title={formatMoment(at)}>
              {formatLast(at, now.value)}
            </time>
          </p>
          <div>
            {digest === null ? (
              'The tag was removed'
            ) : (
              <DigestText digest={digest} what={`the digest of ${formatMoment(at)}`} />
            )}
            <p class="quiet">
              {[
                how,
                user === null ? undefined : `by ${user}`,
                content !== null && content !== 'held' ? content : undefined,
              ]
                .filter(Boolean)
                .join(' · ')}
            </p>
          </div>
          <div class="move-end">
            {index === 0 && digest === image.digest && <Mark tone="accent">now</Mark>}
            {mayRestore && digest !== null && digest !== image.digest && content !== 'gone' && (
              <ActionButton action="restore" images={[image.image]} digest={digest} isSmall />
            )}
          </div>
        </li>
      ))}
    </ol>
  );
}
