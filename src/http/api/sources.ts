/**
 * What the API is served from: use cases that know who asks and show no more than that caller may pull. The shapes are those of the schema.
 * Every method may throw a `RegistryError`; a signal that aborts ends the work.
 */
import type { StatsReport } from '../../admin/admin.ts';
import type { Caller } from '../../registry/caller.ts';
import type { ActionRequest, JobAnswer } from './schema/actions.ts';
import type {
  ImageAnswer,
  ImageQuery,
  ImageRow,
  ImagesQuery,
  OfflineAnswer,
  OfflineQuery,
  OfflineRow,
  RepositoriesQuery,
  RepositoryRow,
} from './schema/images.ts';
import type { ReportAnswer, ReportQuery } from './schema/report.ts';
import type { ActionName, SessionAnswer } from './schema/session.ts';
import type { SetupAnswer } from './schema/setup.ts';
import type { ColdAnswer, HistoryAnswer, StatsAnswer } from './schema/stats.ts';
import type { TransfersAnswer } from './schema/transfers.ts';

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** For `last` of the next page; undefined: this is the last one. */
  readonly next?: string | undefined;
}

interface Pages<Query, Row> {
  page(query: Query, caller: Caller, signal: AbortSignal): Promise<Page<Row>>;
}

export interface ApiSources {
  readonly repositories: Pages<RepositoriesQuery, RepositoryRow>;
  readonly images: Pages<ImagesQuery, ImageRow>;
  readonly offline: Pages<OfflineQuery, OfflineRow> & {
    summary(caller: Caller): Promise<OfflineAnswer['summary']>;
  };
  readonly image: { of(query: ImageQuery, caller: Caller, signal: AbortSignal): Promise<ImageAnswer> };
  readonly cold: { first(n: number, caller: Caller, signal: AbortSignal): Promise<ColdAnswer> };
  readonly live: LiveSource;
  readonly usage: {
    history(days: number, signal: AbortSignal): Promise<HistoryAnswer>;
    report(query: ReportQuery, caller: Caller, signal: AbortSignal): Promise<ReportAnswer>;
  };
  readonly actions: ActionSource;
  /** With names: the API leaves them out. */
  stats(): Promise<StatsReport & Pick<StatsAnswer, 'hosted' | 'warnings'>>;
  /** Without `url`, which is how the client came here. */
  setup(): Omit<SetupAnswer, 'url' | 'hasUsers'>;
}

export interface LiveSource {
  transfers(caller: Caller): Promise<TransfersAnswer>;
  /** Samples as JSON, the first one at once. The answer ends it; idempotent. */
  listen(listener: { readonly caller: Caller; onSample(json: string): void; onEnd(): void }): () => void;
}

export interface ActionSource {
  /** Those that work here at all. */
  readonly names: readonly ActionName[];
  /** Over how many of the repositories the caller has the `admin` action. */
  administers(caller: Caller, signal: AbortSignal): Promise<SessionAnswer['administers']>;
  /** Errors: DENIED where the caller lacks the right for a repository that is named; UNSUPPORTED, NAME_INVALID for what can't be done. */
  begin(
    action: ActionName,
    request: ActionRequest,
    caller: Caller,
    origin: ActionOrigin,
    signal: AbortSignal,
  ): Promise<string>;
  /** Undefined: no such job, or not this caller's. */
  job(id: string, caller: Caller): JobAnswer | undefined;
  /** Hears of changes of the jobs that the caller began. The answer ends it; idempotent. */
  listen(caller: Caller, onJob: (job: JobAnswer) => void): () => void;
}

/** For the audit. */
export interface ActionOrigin {
  readonly user?: string;
  readonly address?: string;
  readonly requestId?: string;
}
