/** The report of the last days, as `cistern report` gives it without options; views read parts of it. */
import type { ReportAnswer } from '../../http/api/schema/report.ts';
import { type Resource, useResource } from './resource.ts';
import { session } from './session.ts';

export const reportDays = 30;

/** Not asked for where nothing is kept for it, or where the visitor may not see it: the resource stays empty then. */
export function useReport(): Resource<ReportAnswer> {
  const { value } = session;
  const isThere = value?.hasReport === true && (value.user !== null || !value.canLogIn);
  return useResource<ReportAnswer>(isThere ? 'report' : undefined, { days: reportDays });
}

/** For the note of a section. */
export const reportPeriod = `the last ${reportDays} days`;

/** The parts of the report that lists of images are made of. */
export type ReportedImages = ReportAnswer['failedOffline'];
