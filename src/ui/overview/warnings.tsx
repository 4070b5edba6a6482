/** What needs a hand: certificates that end, credentials that are refused, upstreams that are away, limits that are near. */
import type { Warning } from '../../http/api/schema/stats.ts';
import type { Tone } from '../parts/notice.tsx';
import { formatSentence } from '../text/figures.ts';

const titles: Readonly<Record<Warning['kind'], string>> = {
  certificate: 'Certificate',
  credentials: 'Credentials',
  breaker: 'Upstream away',
  'rate-limit': 'Pull limit',
  disk: 'Disk',
  lru: 'LRU index',
  'read-only': 'Read-only',
};

const tones: Readonly<Record<Warning['kind'], Tone>> = {
  certificate: 'bad',
  credentials: 'bad',
  breaker: 'bad',
  'rate-limit': 'warn',
  disk: 'warn',
  lru: 'warn',
  'read-only': 'note',
};

export function Warnings({ warnings }: { readonly warnings: readonly Warning[] }) {
  if (warnings.length === 0) return null;
  return (
    <ul class="warnings" aria-label="Warnings">
      {warnings.map(({ kind, subject, message }) => (
        <li key={`${kind} ${subject}`} class={`warning warning-${tones[kind]}`}>
          <span class="notice-sign" aria-hidden="true">
            {tones[kind] === 'note' ? 'i' : '!'}
          </span>
          <p>
            <strong>{titles[kind]}</strong> {formatSentence(message)}
          </p>
        </li>
      ))}
    </ul>
  );
}
