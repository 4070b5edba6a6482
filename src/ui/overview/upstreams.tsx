/** Each upstream: whether it answers, what is left of its pull limit, and whether it takes our credentials. */
import type { UpstreamRow } from '../../http/api/schema/stats.ts';
import { Empty } from '../parts/loading.tsx';
import { Meter } from '../parts/meter.tsx';
import { State } from '../parts/notice.tsx';
import { now } from '../state/changes.ts';
import { formatCount, formatUntil } from '../text/figures.ts';

export function Upstreams({ upstreams }: { readonly upstreams: readonly UpstreamRow[] }) {
  if (upstreams.length === 0)
    return <Empty title="No upstream is configured: this is a plain private registry." />;
  return (
    <div class="table">
      <table>
        <thead>
          <tr>
            <th scope="col">Upstream</th>
            <th scope="col">State</th>
            <th scope="col">Pull limit left</th>
            <th scope="col">Credentials</th>
          </tr>
        </thead>
        <tbody>
          {upstreams.map(upstream => (
            <tr key={upstream.upstream}>
              <th scope="row" class="name">
                {upstream.upstream}
              </th>
              <td data-label="State">
                <UpstreamState upstream={upstream} />
              </td>
              <td data-label="Pull limit left">
                <Limit upstream={upstream} />
              </td>
              <td data-label="Credentials">
                <Credentials credentials={upstream.credentials} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function UpstreamState({ upstream: { up, breakerOpen, pausedUntil } }: { readonly upstream: UpstreamRow }) {
  if (breakerOpen) return <State tone="bad">Away, breaker open</State>;
  if (pausedUntil !== null)
    return <State tone="warn">Asks again {formatUntil(pausedUntil, now.value)}</State>;
  if (up === null) return <State tone="quiet">Not asked yet</State>;
  return up ? <State tone="good">Answers</State> : <State tone="bad">No answer</State>;
}

/** Below a tenth it may not last for the next large pull. */
const lowShare = 0.1;

function Limit({ upstream: { upstream, rateLimit, rateRemaining } }: { readonly upstream: UpstreamRow }) {
  if (rateRemaining === null) return <span class="quiet">none told</span>;
  if (rateLimit === null || rateLimit === 0) return <>{formatCount(rateRemaining)}</>;
  const share = rateRemaining / rateLimit;
  const text = `${formatCount(rateRemaining)} of ${formatCount(rateLimit)}`;
  return (
    <span class="limit">
      <Meter
        share={share}
        label={`${text} pulls left at ${upstream}`}
        tone={share <= lowShare ? 'bad' : 'accent'}
      />
      {text}
    </span>
  );
}

function Credentials({ credentials }: { readonly credentials: UpstreamRow['credentials'] }) {
  if (credentials === 'refused') return <State tone="bad">Refused</State>;
  return credentials === 'ok' ? <State tone="good">Accepted</State> : <span class="quiet">none used</span>;
}
