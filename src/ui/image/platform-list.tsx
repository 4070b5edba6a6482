/** The platforms of an index: which are held, how large, and the attestations that belong to each. One of them is shown below. */
import type { PlatformRow } from '../../http/api/schema/images.ts';
import { formatBytes } from '../../lib/format.ts';
import { State } from '../parts/notice.tsx';
import { formatCounted } from '../text/figures.ts';

interface PlatformListProps {
  readonly platforms: readonly PlatformRow[];
  /** The digest of the manifest that is shown. */
  readonly shown: string | undefined;
  readonly onChoose: (platform: string) => void;
}

export function PlatformList({ platforms, shown, onChoose }: PlatformListProps) {
  const isAlone = platforms.length === 1;
  return (
    <div class="table">
      <table>
        <thead>
          <tr>
            <th scope="col">Platform</th>
            <th scope="col">State</th>
            <th scope="col" class="right">
              Size
            </th>
            <th scope="col">Attestations</th>
            <th scope="col">
              <span class="visually-hidden">Show</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {platforms.map(({ platform, digest, held, complete, neededBytes, attestations }) => (
            <tr key={digest} class={digest === shown && !isAlone ? 'is-shown' : undefined}>
              <th scope="row" class="name">
                {platform}
              </th>
              <td data-label="State">
                {complete ? (
                  <State tone="good">complete</State>
                ) : held ? (
                  <State tone="warn">in part</State>
                ) : (
                  <State tone="quiet">not held</State>
                )}
              </td>
              <td data-label="Size" class="right">
                {neededBytes === null ? <span class="quiet">-</span> : formatBytes(neededBytes)}
              </td>
              <td data-label="Attestations">
                {attestations.length === 0 ? (
                  <span class="quiet">none</span>
                ) : (
                  <span title={attestations.map(one => one.digest).join('\n')}>
                    {formatCounted(attestations.length, 'attestation')}
                    {attestations.some(one => !one.held) && <span class="quiet"> not held</span>}
                  </span>
                )}
              </td>
              <td class="right">
                {digest === shown ? (
                  <span class="quiet">{isAlone ? '' : 'shown below'}</span>
                ) : (
                  <button
                    type="button"
                    class="link"
                    onClick={() => onChoose(platform)}
                    aria-label={`Show ${platform}`}
                  >
                    Show
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
