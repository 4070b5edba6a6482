/** With the line cut: which images would still be pulled whole, what the others lack, and a button that fetches it while there is a line. */
import type { OfflineAnswer, OfflineRow } from '../../http/api/schema/images.ts';
import { formatBytes, formatShare } from '../../lib/format.ts';
import { ActionButton } from '../actions/action-buttons.tsx';
import { ask } from '../actions/action-run.ts';
import { Choice } from '../parts/choice.tsx';
import { Empty, Failure, Skeleton } from '../parts/loading.tsx';
import { StackedBar } from '../parts/meter.tsx';
import { State } from '../parts/notice.tsx';
import { ReportImages, reportPeriod, useReport } from '../parts/report-images.tsx';
import { PageHead, Section } from '../parts/section.tsx';
import { replaceQuery, route } from '../state/navigation.ts';
import { usePaged } from '../state/paged.ts';
import { isOffered } from '../state/session.ts';
import { formatCount, formatCounted, shareOf } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';
import { formatRoute } from '../text/route.ts';

const pageSize = 100;
const choices = [
  { value: 'incomplete', label: 'Lacking something' },
  { value: 'complete', label: 'Complete' },
  { value: 'all', label: 'All' },
] as const;

export function Offline() {
  const wanted = route.value.query['show'];
  const show = choices.find(({ value }) => value === wanted)?.value ?? 'incomplete';
  const offline = usePaged<OfflineAnswer>('offline', { n: pageSize, show }, hasNoImages);
  const report = useReport();
  const failed = report.state.value.value?.failedOffline;
  const state = offline.state.value;
  const images = (state.pages ?? []).flatMap(page => page.images);
  const summary = state.pages?.at(-1)?.summary ?? null;
  const lacking = images.filter(({ complete, may }) => !complete && may.admin);
  return (
    <>
      <PageHead title="Offline" lead="What clients could still pull if the line were cut now." />
      {summary !== null && <Summary summary={summary} />}
      <div class="toolbar">
        <Choice
          label="Images"
          options={choices}
          value={show}
          onChoose={value => replaceQuery({ show: value === 'incomplete' ? '' : value })}
        />
        {isOffered('warm') && lacking.length > 0 && (
          <button
            type="button"
            class="button button-main"
            onClick={() => ask({ action: 'warm', images: lacking.map(({ image }) => image) })}
          >
            Warm {lacking.length === 1 ? 'it' : `these ${formatCount(lacking.length)}`}
          </button>
        )}
      </div>
      {state.error !== undefined && <Failure error={state.error} again={() => void offline.reload()} />}
      {state.pages === undefined && state.error === undefined && <Skeleton lines={8} />}
      {state.pages !== undefined && images.length === 0 && !state.isLoading && (
        <Nothing show={show} hasSummary={summary !== null && summary.complete > 0} />
      )}
      {images.length > 0 && (
        <div class="table list" aria-busy={state.isLoading}>
          <table>
            <thead>
              <tr>
                <th scope="col">Image</th>
                <th scope="col">With the line cut</th>
                <th scope="col">Lacks</th>
                <th scope="col" class="right">
                  To fetch
                </th>
                <th scope="col">
                  <span class="visually-hidden">Action</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {images.map(image => (
                <Row key={image.image} row={image} />
              ))}
            </tbody>
          </table>
          {state.hasMore && (
            <button
              type="button"
              class="button more"
              disabled={state.isLoading}
              onClick={() => void offline.more()}
            >
              {state.isLoading ? 'Loading…' : 'Show more'}
            </button>
          )}
        </div>
      )}
      {failed !== undefined && (
        <Section title="Failed" note={`Asked for while the line was cut, in ${reportPeriod}.`}>
          <ReportImages images={failed} none="Nothing failed." when="last" />
        </Section>
      )}
    </>
  );
}

function Summary({ summary }: { readonly summary: NonNullable<OfflineAnswer['summary']> }) {
  const { complete, incomplete } = summary;
  const total = complete + incomplete;
  if (total === 0) return null;
  return (
    <div class="offline-summary">
      <p>
        <strong class="big">{formatCount(complete)}</strong> of {formatCounted(total, 'image')} complete
        <span class="quiet"> {formatShare(shareOf(complete, total))}</span>
      </p>
      <StackedBar
        parts={[{ name: 'complete', amount: complete, shade: 2 }]}
        whole={total}
        label={`${formatCount(complete)} of ${formatCounted(total, 'image')} are complete`}
      />
    </div>
  );
}

function Row({ row }: { readonly row: OfflineRow }) {
  const { image, complete, missing, missingParts, missingBytes, may } = row;
  return (
    <tr>
      <th scope="row" class="name">
        <a href={formatRoute('image', { name: image })}>{shortName(image)}</a>
      </th>
      <td data-label="With the line cut">
        {complete ? <State tone="good">pulls completely</State> : <State tone="warn">fails</State>}
      </td>
      <td data-label="Lacks" class="lacks">
        {complete ? (
          <span class="quiet">nothing</span>
        ) : (
          <span title={missing.map(({ kind, digest }) => `${kind} ${digest}`).join('\n')}>
            {describeMissing(row)}
          </span>
        )}
        {missingParts > missing.length && <span class="quiet"> (the first {missing.length} are told)</span>}
      </td>
      <td data-label="To fetch" class="right">
        {complete ? '' : missingBytes > 0 ? formatBytes(missingBytes) : <span class="quiet">not known</span>}
      </td>
      <td class="right">
        {!complete && may.admin && isOffered('warm') && (
          <ActionButton action="warm" images={[image]} isSmall />
        )}
      </td>
    </tr>
  );
}

/** `2 manifests, 3 blobs: sha256:0123456789ab`. */
function describeMissing({ missing, missingParts }: OfflineRow): string {
  const manifests = missing.filter(({ kind }) => kind === 'manifest').length;
  const blobs = missingParts - manifests;
  const counts = [
    manifests > 0 && formatCounted(manifests, 'manifest'),
    blobs > 0 && formatCounted(blobs, 'blob'),
  ].filter(Boolean);
  const [first] = missing;
  return `${counts.join(', ')}${first === undefined ? '' : `: ${first.digest.slice(0, 19)}${missingParts > 1 ? ' …' : ''}`}`;
}

function Nothing({ show, hasSummary }: { readonly show: string; readonly hasSummary: boolean }) {
  if (show === 'incomplete' && hasSummary)
    return <Empty title="Nothing is lacking: every image here would be pulled whole." />;
  return (
    <Empty title="No images.">
      What was pulled once through this mirror appears here.{' '}
      <a href={formatRoute('setup')}>Point a client at it</a>.
    </Empty>
  );
}

function hasNoImages({ images }: OfflineAnswer): boolean {
  return images.length === 0;
}
