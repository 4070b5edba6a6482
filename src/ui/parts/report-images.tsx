/** What `cistern report` says, on the page: the report itself, which views read parts of, and its lists of images. */
import type { ReportAnswer } from '../../http/api/schema/report.ts';
import { formatBytes } from '../../lib/format.ts';
import { now } from '../state/changes.ts';
import { type Resource, useResource } from '../state/resource.ts';
import { isSessionKnown, needsLogin } from '../state/session.ts';
import { formatLast, formatMoment } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';
import { formatRoute } from '../text/route.ts';

/** As the command does it without options. */
const reportDays = 30;
/** For the note of a section. */
export const reportPeriod = `the last ${reportDays} days`;

const shownImages = 30;

/** Not asked for while the visitor may not see it: the resource stays empty then. */
export function useReport(): Resource<ReportAnswer> {
  const mayAsk = isSessionKnown.value && !needsLogin();
  return useResource<ReportAnswer>(mayAsk ? 'report' : undefined, { days: reportDays });
}

interface ReportImagesProps {
  readonly images: ReportAnswer['failedOffline'];
  /** Where the list is empty. */
  readonly none: string;
  /** Before the time: `last`. */
  readonly when: string;
}

export function ReportImages({ images, none, when }: ReportImagesProps) {
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
