/** The daily report over the metrics of a mirror and a file of its store; without a mirror, what the file says. */
import { DailyReport } from '../report/daily-report.ts';
import type { StoreLayout } from '../store/layout.ts';
import { ReportFile } from '../store/report-file.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { StoreOperation } from '../telemetry/observer.ts';
import type { UsageSource } from '../telemetry/usage.ts';

export interface DailyReportParts {
  readonly layout: Pick<StoreLayout, 'reportPath' | 'tempPath'>;
  /** Absent: no mirror runs. */
  readonly source?: UsageSource;
  readonly observer: { storeError(operation: StoreOperation): void };
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** The caller closes it. */
export function openDailyReport({
  layout,
  source,
  observer,
  logger,
  now,
}: DailyReportParts): Promise<DailyReport> {
  const file = new ReportFile({ path: layout.reportPath, tempPath: () => layout.tempPath(), observer });
  return DailyReport.open({ file, logger, now, ...(source !== undefined && { source }) });
}
