/** A list of images from the report: name, size and time of each, and where there are many, how many more. */
import { formatBytes } from '../../lib/format.ts';
import { now } from '../state/changes.ts';
import type { ReportedImages } from '../state/report.ts';
import { formatLast, formatMoment } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';
import { formatRoute } from '../text/route.ts';

const shownImages = 30;

interface NamedImagesProps {
  readonly images: ReportedImages;
  /** Where the list is empty. */
  readonly none: string;
  /** Before the time: `last`. */
  readonly when: string;
}

export function NamedImages({ images, none, when }: NamedImagesProps) {
  if (images.length === 0) return <p class="quiet">{none}</p>;
  return (
    <>
      <ul class="lines">
        {images.slice(0, shownImages).map(({ image, bytes, at }) => (
          <li key={image}>
            <a href={formatRoute('image', { name: image })}>{shortName(image)}</a>
            {bytes !== null && <span>{formatBytes(bytes)}</span>}
            {at !== null && (
              <span class="quiet" title={formatMoment(at)}>
                {when} {formatLast(at, now.value)}
              </span>
            )}
          </li>
        ))}
      </ul>
      {images.length > shownImages && <p class="quiet">and {images.length - shownImages} more</p>}
    </>
  );
}
