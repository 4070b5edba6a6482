/** Images as a table: a row group for each repository, a row for each tag, with what an operator asks about it. */
import type { ImageRow, PlatformRow } from '../../http/api/schema/images.ts';
import { formatBytes, formatSpan } from '../../lib/format.ts';
import { Mark, State } from '../parts/notice.tsx';
import { now } from '../state/changes.ts';
import { formatCounted, formatLast, formatMoment } from '../text/figures.ts';
import { splitImage } from '../text/image-name.ts';
import { formatRoute } from '../text/route.ts';
import { markFound } from '../text/search.ts';

export interface ImageGroup {
  readonly repository: string;
  readonly images: readonly ImageRow[];
}

interface ImageTableProps {
  readonly groups: readonly ImageGroup[];
  /** Marked in the names. */
  readonly query: string;
}

export function ImageTable({ groups, query }: ImageTableProps) {
  return (
    <div class="table">
      <table class="images">
        <thead>
          <tr>
            <th scope="col">Tag</th>
            <th scope="col">Platforms</th>
            <th scope="col" class="right">
              Size
            </th>
            <th scope="col" class="right">
              Own
            </th>
            <th scope="col">Here since</th>
            <th scope="col">Last use</th>
            <th scope="col">State</th>
          </tr>
        </thead>
        {groups.map(({ repository, images }) => (
          <tbody key={repository}>
            <tr class="group">
              <th scope="rowgroup" colSpan={7}>
                <Repository name={repository} query={query} isHosted={images[0]?.freshness === 'hosted'} />
              </th>
            </tr>
            {images.map(image => (
              <Row key={image.image} image={image} />
            ))}
          </tbody>
        ))}
      </table>
    </div>
  );
}

interface RepositoryProps {
  readonly name: string;
  readonly query: string;
  readonly isHosted: boolean;
}

function Repository({ name, query, isHosted }: RepositoryProps) {
  return (
    <a class="repository" href={formatRoute('images', { repository: name })}>
      {markFound(name, query).map(({ text, isFound }, index) =>
        isFound ? <mark key={index}>{text}</mark> : text,
      )}
      {isHosted && <Mark>hosted</Mark>}
    </a>
  );
}

function Row({ image }: { readonly image: ImageRow }) {
  const { tag, digest, platforms, heldBytes, neededBytes, ownBytes, since, lastUsedAt } = image;
  const nowMs = now.value;
  return (
    <tr>
      <th scope="row" class="name">
        <a href={formatRoute('image', { name: image.image })} aria-label={image.image}>
          {tag ?? splitImage(image.image).reference.slice(1, 20)}
        </a>
        {tag === null && <span class="quiet"> no tag</span>}
      </th>
      <td class="image-platforms">
        <Platforms platforms={platforms} kind={image.kind} />
      </td>
      <td
        data-label="Size"
        class="right"
        title={`${digest}: ${formatBytes(heldBytes)} held of ${formatBytes(neededBytes)}`}
      >
        {formatBytes(heldBytes)}
        {heldBytes < neededBytes && <span class="quiet"> of {formatBytes(neededBytes)}</span>}
      </td>
      <td data-label="Own" class="right">
        {ownBytes === null ? <span class="quiet">…</span> : formatBytes(ownBytes)}
      </td>
      <td data-label="Here since" title={formatMoment(since)}>
        {since === null ? <span class="quiet">-</span> : formatSpan(nowMs - Date.parse(since))}
      </td>
      <td data-label="Last use" title={formatMoment(lastUsedAt)}>
        {formatLast(lastUsedAt, nowMs)}
      </td>
      <td class="image-state">
        <ImageState image={image} />
      </td>
    </tr>
  );
}

/** More are counted: an index may have twenty. */
const shownPlatforms = 3;

interface PlatformsProps {
  readonly platforms: readonly PlatformRow[];
  readonly kind: ImageRow['kind'];
}

function Platforms({ platforms, kind }: PlatformsProps) {
  if (platforms.length === 0) return <span class="quiet">{kind === 'artifact' ? 'artifact' : '-'}</span>;
  const attestations = platforms.reduce((total, platform) => total + platform.attestations.length, 0);
  const ordered = [...platforms].sort((a, b) => Number(b.complete) - Number(a.complete));
  const rest = ordered.slice(shownPlatforms);
  return (
    <span class="platforms">
      {ordered.slice(0, shownPlatforms).map(({ platform, complete, digest }) => (
        <span
          key={digest}
          class={complete ? 'platform' : 'platform platform-lacking'}
          title={complete ? `${platform}: complete` : `${platform}: not complete`}
        >
          {platform.replace(/^linux\//, '')}
          {!complete && <span class="visually-hidden"> (not complete)</span>}
        </span>
      ))}
      {rest.length > 0 && (
        <span class="quiet" title={rest.map(({ platform }) => platform).join(', ')}>
          +{rest.length}
        </span>
      )}
      {attestations > 0 && <span class="quiet">{formatCounted(attestations, 'attestation')}</span>}
    </span>
  );
}

export function ImageState({ image }: { readonly image: ImageRow }) {
  const { freshness, pinned, complete, checkedAt } = image;
  const checked = checkedAt === null ? 'never checked' : `checked ${formatLast(checkedAt, now.value)}`;
  return (
    <span class="states">
      {freshness === 'fresh' && (
        <span title={checked}>
          <State tone="good">fresh</State>
        </span>
      )}
      {freshness === 'stale' && (
        <span title={checked}>
          <State tone="warn">stale</State>
        </span>
      )}
      {freshness === 'hosted' && <State tone="good">hosted</State>}
      {freshness === 'digest' && <State tone="quiet">by digest</State>}
      {!complete && <Mark tone="warn">incomplete</Mark>}
      {pinned && <Mark tone="accent">pinned</Mark>}
    </span>
  );
}
