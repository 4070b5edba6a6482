/** What the disk holds: hosted content apart, because it never goes by itself; then the cache with its limit. */
import type { StatsAnswer } from '../../http/api/schema/stats.ts';
import type { SampleEvent } from '../../http/api/schema/transfers.ts';
import { formatBytes, formatShare } from '../../lib/format.ts';
import { type BarPart, StackedBar } from '../parts/meter.tsx';
import { now } from '../state/changes.ts';
import { formatCount, formatCounted, formatLast, shareOf } from '../text/figures.ts';

interface DiskProps {
  readonly stats: StatsAnswer;
  /** Newer than `stats`. */
  readonly live: SampleEvent['store'] | undefined;
}

export function Disk({ stats, live }: DiskProps) {
  const { store, hosted, daemon } = stats;
  const bytes = live?.bytes ?? store.bytes;
  const limit = live?.limitBytes ?? store.limitBytes;
  const free = live?.freeBytes ?? store.freeBytes;
  const pinned = Math.min(store.pinnedBytes, bytes);
  const partial = Math.min(store.partialBytes, bytes - pinned);
  const parts: readonly BarPart[] = [
    { name: 'pinned', amount: pinned, shade: 1 },
    { name: 'cached', amount: bytes - pinned - partial, shade: 2 },
    { name: 'unfinished', amount: partial, shade: 3 },
  ];
  const whole = limit ?? bytes + (free ?? 0);
  const share = shareOf(bytes, whole);
  return (
    <div class="disk">
      <p class="disk-head">
        <strong>{formatBytes(bytes)}</strong> of {limit === null ? 'no limit' : formatBytes(limit)}
        {share !== null && limit !== null && <span class="quiet"> {formatShare(share)}</span>}
        {!store.scanned && <span class="quiet"> · the store is still being read, the figures grow</span>}
      </p>
      <StackedBar
        parts={parts}
        whole={whole}
        label={`The cache holds ${formatBytes(bytes)} of ${limit === null ? 'no limit' : formatBytes(limit)}`}
      />
      <ul class="disk-key">
        {parts
          .filter(({ amount }) => amount > 0)
          .map(({ name, amount, shade }) => (
            <li key={name} class={`key-shade-${shade}`}>
              {name} <strong>{formatBytes(amount)}</strong>
            </li>
          ))}
      </ul>
      <dl class="pairs">
        <Pair name="Blobs" text={formatCount(live?.blobs ?? store.blobs)} />
        <Pair name="Limit" text={store.limitReason} />
        <Pair name="Free on the disk" text={free === null ? 'not known' : formatBytes(free)} />
        {hosted !== null && (
          <Pair
            name="Hosted, beside the limit"
            text={`${formatBytes(hosted.bytes)} in ${formatCount(hosted.blobs)} blobs`}
          />
        )}
        {daemon !== null && (
          <Pair
            name="Evicted since the start"
            text={`${formatCount(daemon.evictions.blobs)} blobs, ${formatBytes(daemon.evictions.bytes)}`}
          />
        )}
        {daemon !== null && <Pair name="Last scrub" text={describeScrub(daemon.scrub)} />}
        {daemon !== null && (
          <Pair name="LRU index" text={`${daemon.lru.backend}${daemon.lru.up ? '' : ', away'}`} />
        )}
      </dl>
    </div>
  );
}

type ScrubFigures = NonNullable<StatsAnswer['daemon']>['scrub'];

/** Damaged hosted files are loud: there is no second copy, and a push heals them. */
function describeScrub({ running, endedAt, damagedFiles }: ScrubFigures): string {
  const damaged =
    damagedFiles === 0 ? '' : `, ${formatCounted(damagedFiles, 'damaged file')} to be pushed again`;
  if (running === null) return `${formatLast(endedAt, now.value)}${damaged}`;
  const share = formatShare(shareOf(running.bytes, running.heldBytes));
  return `runs, ${share} read${damaged}`;
}

function Pair({ name, text }: { readonly name: string; readonly text: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{text}</dd>
    </div>
  );
}
