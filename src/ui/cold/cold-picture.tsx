/**
 * The LRU order as a picture: each blob is a dot, further right the longer it was not used, higher the larger it is. What the
 * next eviction takes is right of the line. The table below it says the same in words.
 */
import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ColdBlob } from '../../http/api/schema/stats.ts';
import { formatBytes } from '../../lib/format.ts';
import { ageScale, sizeScale, spacedTicks } from '../text/cold-scale.ts';
import { formatCounted, formatLast } from '../text/figures.ts';

interface ColdPictureProps {
  readonly blobs: readonly ColdBlob[];
  readonly nowMs: number;
}

const height = 300;
/** Until the place is measured. */
const usualWidth = 720;
/** Between two marks of the age, so that their words don't touch. */
const minGap = 64;
const left = 64;
const bottom = 28;
const top = 12;
const right = 14;

export function ColdPicture({ blobs, nowMs }: ColdPictureProps) {
  const place = useRef<HTMLElement>(null);
  const width = useWidth(place);
  const ages = blobs.map(({ lastUsedAt }) => Math.max(1000, nowMs - Date.parse(lastUsedAt)));
  const byAge = ageScale(ages);
  const bySize = sizeScale(blobs.map(({ bytes }) => bytes));
  const x = (share: number) => left + share * (width - left - right);
  const y = (share: number) => height - bottom - share * (height - top - bottom);
  const going = ages.filter((_, index) => blobs[index]?.goesNext);
  // Where all of them go, as of a cache that is nearly empty, there is no line to draw.
  const border =
    going.length === 0 || going.length === blobs.length ? undefined : x(byAge.at(Math.min(...going)));
  const summary = `${formatCounted(blobs.length, 'blob')} by age and size; ${going.length === 0 ? 'the next eviction takes none of them' : `the next eviction takes ${formatCounted(going.length, 'blob')}`}`;
  return (
    <figure class="cold" ref={place}>
      <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-label={summary}>
        {border !== undefined && (
          <rect
            class="cold-going"
            x={border}
            y={top}
            width={Math.max(2, width - right - border)}
            height={height - top - bottom}
          />
        )}
        {bySize.ticks.map(({ at, label }) => (
          <g key={label}>
            <line class="cold-line" x1={left} x2={width - right} y1={y(at)} y2={y(at)} />
            <text class="cold-text cold-text-end" x={left - 8} y={y(at) + 4}>
              {label}
            </text>
          </g>
        ))}
        {spacedTicks(byAge.ticks, minGap / (width - left - right)).map(({ at, label }) => (
          <text
            key={label}
            class={`cold-text ${at < 0.03 ? '' : at > 0.97 ? 'cold-text-end' : 'cold-text-middle'}`}
            x={x(at)}
            y={height - 8}
          >
            {label}
          </text>
        ))}
        {blobs.map((blob, index) => (
          <circle
            key={blob.digest ?? index}
            class={blob.pinned ? 'dot dot-pinned' : blob.goesNext ? 'dot dot-going' : 'dot'}
            cx={x(byAge.at(ages[index] ?? 0))}
            cy={y(bySize.at(blob.bytes))}
            r={blob.bytes > 64 * 2 ** 20 ? 5 : 3.5}
          >
            <title>{describe(blob, nowMs)}</title>
          </circle>
        ))}
      </svg>
      <figcaption>
        <ul class="disk-key">
          <li class="key-dot">used since</li>
          <li class="key-dot-going">goes with the next eviction</li>
          <li class="key-dot-pinned">pinned</li>
          <li class="quiet">older to the right, larger above</li>
        </ul>
      </figcaption>
    </figure>
  );
}

/** In pixels, so that the text of the picture has one size on every screen. */
function useWidth(place: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(usualWidth);
  useEffect(() => {
    const { current } = place;
    if (current === null) return undefined;
    const observer = new ResizeObserver(() => setWidth(Math.max(240, current.clientWidth)));
    observer.observe(current);
    return () => observer.disconnect();
  }, [place]);
  return width;
}

function describe(
  { digest, bytes, lastUsedAt, repository, goesNext, pinned }: ColdBlob,
  nowMs: number,
): string {
  const parts = [
    repository,
    digest?.slice(0, 19),
    formatBytes(bytes),
    `used ${formatLast(lastUsedAt, nowMs)}`,
  ];
  return [...parts, goesNext && 'goes next', pinned && 'pinned'].filter(Boolean).join(', ');
}
