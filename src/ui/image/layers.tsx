/** The layers, the base first: how large each is beside the largest, whether it is held, and with how many images it is shared. */
import type { ImageLayer } from '../../http/api/schema/images.ts';
import { formatBytes } from '../../lib/format.ts';
import { DigestText } from '../parts/copy.tsx';
import { Meter } from '../parts/meter.tsx';
import { Mark } from '../parts/notice.tsx';

export function Layers({ layers }: { readonly layers: readonly ImageLayer[] }) {
  if (layers.length === 0) return <p class="quiet">It has no layers.</p>;
  const largest = Math.max(1, ...layers.map(({ bytes }) => bytes ?? 0));
  return (
    <ol class="layers">
      {layers.map(({ digest, mediaType, bytes, held, images, createdBy }, index) => (
        <li key={`${digest} ${index}`} class="layer">
          <span class="layer-number quiet">{index + 1}</span>
          <div class="layer-size">
            <Meter
              share={(bytes ?? 0) / largest}
              label={`Layer ${index + 1}: ${bytes === null ? 'size not known' : formatBytes(bytes)}`}
            />
            <span>{bytes === null ? '-' : formatBytes(bytes)}</span>
          </div>
          <div class="layer-text">
            <p class="layer-command">
              <code>{shortCommand(createdBy) ?? mediaType}</code>
            </p>
            <p class="layer-marks quiet">
              <DigestText digest={digest} what={`the digest of layer ${index + 1}`} />
              {images !== null && images > 1 && <span>in {images} images</span>}
              {!held && <Mark tone="warn">not held</Mark>}
            </p>
          </div>
        </li>
      ))}
    </ol>
  );
}

/** Builders of different ages write what a step did in front of it, or the shell that ran it. */
function shortCommand(createdBy: string | null): string | null {
  return createdBy === null
    ? null
    : createdBy.replace(/^\/bin\/sh -c (?:#\(nop\)\s+)?/, '').replace(/\s+# buildkit$/, '');
}
