/** What is cold: the order in which blobs go, what the next eviction takes, and what went too early. */
import type { ColdAnswer, ColdBlob } from '../../http/api/schema/stats.ts';
import { formatBytes, formatSpan } from '../../lib/format.ts';
import { Empty, Loaded } from '../parts/loading.tsx';
import { Mark, Notice } from '../parts/notice.tsx';
import { ReportImages, reportPeriod, useReport } from '../parts/report-images.tsx';
import { PageHead, Section } from '../parts/section.tsx';
import { UsersOnly } from '../parts/users-only.tsx';
import { now } from '../state/changes.ts';
import { useResource } from '../state/resource.ts';
import { formatCount, formatCounted, formatLast, formatMoment } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';
import { formatRoute } from '../text/route.ts';
import { ColdPicture } from './cold-picture.tsx';

const pictured = 500;
const listed = 25;

export function Cold() {
  return (
    <UsersOnly title="What is cold" what="which content goes next when room is needed">
      {() => <Figures />}
    </UsersOnly>
  );
}

function Figures() {
  const cold = useResource<ColdAnswer>('cold', { n: pictured }, { follows: true });
  const report = useReport();
  return (
    <>
      <PageHead
        title="What is cold"
        lead="When room is needed, the blobs that were used least recently go first. Pinned and hosted ones stay."
      />
      <Loaded of={cold} lines={12}>
        {answer => <Answer answer={answer} />}
      </Loaded>
      {report.state.value.value !== undefined && (
        <Section title="Never pulled again" note={`In ${reportPeriod}.`}>
          <ReportImages
            images={report.state.value.value.neverPulledAgain}
            none="Nothing: all that was fetched was asked for again."
            when="fetched"
          />
        </Section>
      )}
    </>
  );
}

function Answer({ answer }: { readonly answer: ColdAnswer }) {
  const { blobs, total, nextEviction, refetched } = answer;
  if (blobs.length === 0)
    return (
      <Empty title="Nothing can be evicted.">
        The cache is empty. <a href={formatRoute('setup')}>Point a client at this mirror</a>.
      </Empty>
    );
  return (
    <>
      <Section
        title="Size and age"
        note={`${blobs.length < total.blobs ? `The coldest ${formatCount(blobs.length)} of ${formatCount(total.blobs)}` : `All ${formatCount(total.blobs)}`} blobs; ${formatBytes(total.bytes)} in all.`}
      >
        <ColdPicture blobs={blobs} nowMs={now.value} />
      </Section>
      <Section title="Next eviction" note="What it would take if it began now.">
        <NextEviction next={nextEviction} />
      </Section>
      <Section title="The coldest" note="In the order in which they go.">
        <Coldest blobs={blobs} />
      </Section>
      <Section title="Fetched again" note="Evicted, and asked for within a week.">
        <Refetched refetched={refetched} />
      </Section>
    </>
  );
}

function NextEviction({ next }: { readonly next: ColdAnswer['nextEviction'] }) {
  const { blobs, bytes, limitBytes, lowBytes, heldBytes } = next;
  if (limitBytes === null)
    return <p class="quiet">There is no limit: only a disk that fills up (store.min_free) starts one.</p>;
  const room = limitBytes - heldBytes;
  return (
    <>
      <p>
        It takes <strong>{formatCounted(blobs, 'blob')}</strong> of together{' '}
        <strong>{formatBytes(bytes)}</strong>
        {lowBytes !== null && <>, down to {formatBytes(lowBytes)}</>}.
      </p>
      <p class="quiet">
        {room > 0
          ? `It begins when another ${formatBytes(room)} have come: ${formatBytes(heldBytes)} of ${formatBytes(limitBytes)} are held.`
          : `The limit of ${formatBytes(limitBytes)} is reached.`}
      </p>
    </>
  );
}

function Coldest({ blobs }: { readonly blobs: readonly ColdBlob[] }) {
  const nowMs = now.value;
  const isTold = blobs.some(({ goesNext }) => !goesNext);
  return (
    <div class="table">
      <table class="coldest">
        <thead>
          <tr>
            <th scope="col" class="right">
              Order
            </th>
            <th scope="col">Blob</th>
            <th scope="col">Repository</th>
            <th scope="col" class="right">
              Size
            </th>
            <th scope="col">Last use</th>
            <th scope="col">
              <span class="visually-hidden">State</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {blobs
            .slice(0, listed)
            .map(({ digest, bytes, lastUsedAt, pinned, repository, goesNext }, index) => (
              <tr key={digest ?? index}>
                <td class="right quiet cold-order">{index + 1}</td>
                <th scope="row" class="name">
                  {digest === null ? (
                    <span class="quiet">not for you to see</span>
                  ) : (
                    <code title={digest}>{digest.slice(0, 19)}</code>
                  )}
                </th>
                <td data-label="Repository">
                  {repository === null ? (
                    <span class="quiet">-</span>
                  ) : (
                    <a href={formatRoute('images', { repository })}>{shortName(repository)}</a>
                  )}
                </td>
                <td class="right" data-label="Size">
                  {formatBytes(bytes)}
                </td>
                <td data-label="Last use" title={formatMoment(lastUsedAt)}>
                  {formatLast(lastUsedAt, nowMs)}
                </td>
                <td>
                  {goesNext && isTold && <Mark tone="warn">goes next</Mark>}
                  {pinned && <Mark tone="accent">pinned</Mark>}
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}

function Refetched({ refetched }: { readonly refetched: ColdAnswer['refetched'] }) {
  if (refetched.length === 0) return <p class="quiet">Nothing: what was evicted was not missed.</p>;
  const bytes = refetched.reduce((total, one) => total + one.bytes, 0);
  return (
    <>
      <Notice
        tone="warn"
        title={`${formatCounted(refetched.length, 'blob')} went too early: ${formatBytes(bytes)} came over the line twice`}
      >
        A larger store.max_size would have kept them; a pin keeps an image whatever happens.
      </Notice>
      <ul class="lines">
        {refetched.map(({ digest, repository, bytes: size, evictedAt, fetchedAt }, index) => (
          <li key={`${digest} ${index}`}>
            <span>
              {repository === null ? <span class="quiet">not for you to see</span> : shortName(repository)}
            </span>
            <code>{digest === null ? '' : digest.slice(0, 19)}</code>
            <span>{formatBytes(size)}</span>
            <span class="quiet" title={`${formatMoment(evictedAt)} to ${formatMoment(fetchedAt)}`}>
              back after {formatSpan(Date.parse(fetchedAt) - Date.parse(evictedAt))}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
