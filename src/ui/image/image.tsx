/** One image: what it is, where it came from, who signed it, how to pull it, and what can be done with it. */
import type { ImageAnswer } from '../../http/api/schema/images.ts';
import { formatBytes } from '../../lib/format.ts';
import { ImageActions } from '../actions/action-buttons.tsx';
import { ImageState } from '../images/image-table.tsx';
import { DigestText } from '../parts/copy.tsx';
import { Loaded } from '../parts/loading.tsx';
import { Notice } from '../parts/notice.tsx';
import { PageHead, Section } from '../parts/section.tsx';
import { now } from '../state/changes.ts';
import { replaceQuery, route } from '../state/navigation.ts';
import { useResource } from '../state/resource.ts';
import { formatCounted, formatLast, formatMoment } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';
import { formatRoute } from '../text/route.ts';
import { Config, isBareConfig } from './config.tsx';
import { Layers } from './layers.tsx';
import { PlatformList } from './platform-list.tsx';
import { PullCommands } from './pull-commands.tsx';
import { Referrers } from './referrers.tsx';
import { TagHistory } from './tag-history.tsx';

export function Image() {
  const { name = '', platform = '' } = route.value.query;
  const answer = useResource<ImageAnswer>(name === '' ? undefined : 'image', { name, platform });
  const { value, error } = answer.state.value;
  if (error?.status === 404) return <NotHeld name={name} />;
  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href={formatRoute('images')}>Images</a>
        {value !== undefined && (
          <a href={formatRoute('images', { repository: value.image.repository })}>{value.image.repository}</a>
        )}
      </nav>
      <PageHead title={name === '' ? 'Which image?' : shortName(name)}>
        {value !== undefined && (
          <ImageActions
            image={value.image.image}
            isHosted={value.image.upstream === 'hosted'}
            isPinned={value.image.pinned}
            may={value.may}
          />
        )}
      </PageHead>
      {name !== '' && (
        <Loaded of={answer} lines={14}>
          {found => <Found answer={found} name={name} />}
        </Loaded>
      )}
    </>
  );
}

/** Also after it was evicted or deleted from here. */
function NotHeld({ name }: { readonly name: string }) {
  return (
    <PageHead
      title={shortName(name)}
      lead={
        <>
          It is not held here, or not for you to see. <a href={formatRoute('images')}>All images</a>
        </>
      }
    />
  );
}

function Found({ answer, name }: { readonly answer: ImageAnswer; readonly name: string }) {
  const { image, manifest, referrers, moves, missing, may } = answer;
  return (
    <>
      <Facts answer={answer} />
      {missing.length > 0 && (
        <Notice tone="warn" title="A pull with the line cut would lack parts">
          {formatCounted(missing.length, 'part')} missing
          {missing.some(({ bytes }) => bytes !== null) &&
            `, ${formatBytes(missing.reduce((total, { bytes }) => total + (bytes ?? 0), 0))}`}
          :{' '}
          {missing.slice(0, 4).map(({ kind, digest }) => (
            <code key={digest} class="missing-part">
              {kind} {digest.slice(0, 19)}
            </code>
          ))}
          {missing.length > 4 && ` and ${missing.length - 4} more`}
        </Notice>
      )}
      <Section title="Pull" note="Copied and run as they stand.">
        <PullCommands image={image.image} />
      </Section>
      {image.platforms.length > 0 && (
        <Section title="Platforms" note={image.kind === 'index' ? 'Each with its attestations.' : undefined}>
          <PlatformList
            platforms={image.platforms}
            shown={manifest?.digest}
            onChoose={platform => replaceQuery({ name, platform })}
          />
        </Section>
      )}
      {manifest === null ? (
        <Section title="Layers">
          <p class="quiet">The manifest of this platform is not held, so its layers are not known.</p>
        </Section>
      ) : (
        <>
          <Section title="Layers" note={manifest.platform ?? undefined}>
            <Layers layers={manifest.layers} />
          </Section>
          {manifest.config !== null && !isBareConfig(manifest.config) && (
            <Section title="Config">
              <Config config={manifest.config} />
            </Section>
          )}
          {manifest.history.length > 0 && (
            <Section title="History" note="How it was built, the last step first.">
              <ol class="steps">
                {[...manifest.history]
                  .reverse()
                  .map(({ createdBy, comment, emptyLayer, createdAt }, index) => (
                    <li key={index} class={emptyLayer ? 'step step-empty' : 'step'}>
                      <code>{createdBy ?? comment ?? 'no command kept'}</code>
                      <span class="quiet">
                        {formatMoment(createdAt)}
                        {emptyLayer && ' · no layer'}
                      </span>
                    </li>
                  ))}
              </ol>
            </Section>
          )}
        </>
      )}
      <Section title="Referrers" note="Signatures, SBOMs and attestations that are held here.">
        <Referrers referrers={referrers} repository={image.repository} />
      </Section>
      <Section title="Tag history" note="What the tag pointed to, the newest first.">
        <TagHistory image={image} moves={moves} may={may} />
      </Section>
    </>
  );
}

function Facts({ answer: { image, manifest, otherTags } }: { readonly answer: ImageAnswer }) {
  const { digest, mediaType, heldBytes, neededBytes, ownBytes, sharedBytes, since, lastUsedAt, checkedAt } =
    image;
  return (
    <dl class="pairs facts">
      <div>
        <dt>State</dt>
        <dd>
          <ImageState image={image} />
        </dd>
      </div>
      <div>
        <dt>Digest</dt>
        <dd>
          <DigestText digest={digest} what="the digest" />
        </dd>
      </div>
      <div>
        <dt>Held</dt>
        <dd>
          {formatBytes(heldBytes)} of {formatBytes(neededBytes)}
        </dd>
      </div>
      <div>
        <dt>Own, and shared</dt>
        <dd>
          {ownBytes === null || sharedBytes === null
            ? 'still being counted'
            : `${formatBytes(ownBytes)}, ${formatBytes(sharedBytes)}`}
        </dd>
      </div>
      <div>
        <dt>Here since</dt>
        <dd>{formatMoment(since)}</dd>
      </div>
      <div>
        <dt>Last use</dt>
        <dd>{formatLast(lastUsedAt, now.value)}</dd>
      </div>
      {checkedAt !== null && (
        <div>
          <dt>Checked</dt>
          <dd>{formatLast(checkedAt, now.value)}</dd>
        </div>
      )}
      {otherTags.length > 0 && (
        <div>
          <dt>Also tagged</dt>
          <dd class="words">
            {otherTags.map(tag => (
              <a key={tag} href={formatRoute('image', { name: `${image.repository}:${tag}` })}>
                {tag}
              </a>
            ))}
          </dd>
        </div>
      )}
      <div>
        <dt>Media type</dt>
        <dd>
          <code class="wrap">{mediaType}</code>
        </dd>
      </div>
      {manifest !== null && Object.keys(manifest.annotations).length > 0 && (
        <div class="wide">
          <dt>Annotations</dt>
          <dd>
            {Object.entries(manifest.annotations).map(([key, text]) => (
              <code key={key} class="wrap line">
                {key}={text}
              </code>
            ))}
          </dd>
        </div>
      )}
    </dl>
  );
}
