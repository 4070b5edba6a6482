/**
 * The plots and the report of the page, from the sums that the daemon keeps by the hour and the day, and by the minute since its start. A
 * report names only what its caller may pull.
 */
import type { Admin } from '../../admin/admin.ts';
import type { UsagePoint } from '../../admin/usage-report.ts';
import type { RecentEvictions } from '../../capacity/recent-evictions.ts';
import type { ReportAnswer, ReportQuery } from '../../http/api/schema/report.ts';
import type { HistoryAnswer, HistorySample } from '../../http/api/schema/stats.ts';
import { isDigest } from '../../oci/digest.ts';
import type { Caller } from '../../registry/caller.ts';
import type { BlobUses } from '../held/blob-uses.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';
import type { FigureHistory } from './figure-history.ts';

export interface UsageFiguresOptions {
  readonly admin: Pick<Admin, 'report'>;
  /** Noted a moment ago. */
  readonly minutes: Pick<FigureHistory, 'since'>;
  readonly evictions: Pick<RecentEvictions, 'fetchedAgain'>;
  readonly uses: Pick<BlobUses, 'current'>;
  readonly repositories: Pick<HeldRepositories, 'mayPull'>;
  /** When the minutes begin, and now: milliseconds since the epoch. */
  readonly startedMs: number;
  now(): number;
}

type Named = ReportAnswer['failedOffline'];

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const maxHourDays = 2;
const bytesPerGigabyte = 1e9;

export class UsageFigures {
  readonly #options: UsageFiguresOptions;

  constructor(options: UsageFiguresOptions) {
    this.#options = options;
  }

  /** Errors: those of the report; the signal's reason. */
  async history(days: number, signal: AbortSignal): Promise<HistoryAnswer> {
    const { admin, minutes, startedMs, now } = this.#options;
    const sinceMs = now() - days * dayMs;
    const report = await admin.report(sinceMs, signal);
    if (days > maxHourDays) return { step: 'day', samples: report.days.map(sampleOf) };
    const hours = report.hours.filter(({ at }) => Date.parse(at) >= sinceMs);
    const startedHourMs = startedMs - (startedMs % hourMs);
    const isSinceStart = hours.every(({ at }) => Date.parse(at) >= startedHourMs);
    if (days === 1 && isSinceStart) return { step: 'minute', samples: minutes.since(sinceMs) };
    return { step: 'hour', samples: hours.map(sampleOf) };
  }

  /** Errors: as `history`. */
  async report({ days, price }: ReportQuery, caller: Caller, signal: AbortSignal): Promise<ReportAnswer> {
    const { admin, evictions, uses, now } = this.#options;
    const report = await admin.report(now() - days * dayMs, signal);
    const nameOf = uses.current();
    const early = evictions.fetchedAgain().map(({ digest, bytes, fetchedAtMs }) => ({
      repository: nameOf?.repositoryOf(digest) ?? '',
      reference: undefined,
      bytes,
      at: new Date(fetchedAtMs).toISOString(),
    }));
    return {
      since: report.since,
      until: report.until,
      upstreams: report.upstreams.map(
        ({ upstream, pulls, counted, servedBytes, fetchedBytes, savedBytes, ...rest }) => ({
          upstream,
          pulls,
          servedBytes,
          fetchedBytes,
          countedRequests: counted,
          avoidedRequests: Math.max(0, pulls - counted),
          evictedTooEarly: rest.evictedTooEarly,
          evictedTooEarlyBytes: rest.evictedTooEarlyBytes,
          savedMoney: price === undefined ? null : (price * Math.max(0, savedBytes)) / bytesPerGigabyte,
        }),
      ),
      neverPulledAgain: await this.#named(
        report.pulledOnce.listed.map(({ repository, tags, digest, fetchedAt }) => ({
          repository,
          reference: tags[0] ?? digest,
          bytes: null,
          at: fetchedAt,
        })),
        caller,
      ),
      evictedTooEarly: await this.#named(early, caller),
      failedOffline: await this.#named(
        report.failedOffline.map(({ repository, reference, lastAt }) => ({
          repository,
          reference,
          bytes: null,
          at: lastAt,
        })),
        caller,
      ),
    };
  }

  /** `repository` empty: not known. */
  async #named(
    entries: readonly {
      readonly repository: string;
      readonly reference: string | undefined;
      readonly bytes: number | null;
      readonly at: string;
    }[],
    caller: Caller,
  ): Promise<Named> {
    const rows: Named[number][] = [];
    for (const { repository, reference, bytes, at } of entries) {
      if (repository === '' || !(await this.#options.repositories.mayPull(repository, caller))) continue;
      rows.push({ image: nameOfImage(repository, reference), bytes, at });
    }
    return rows;
  }
}

function nameOfImage(repository: string, reference: string | undefined): string {
  if (reference === undefined) return repository;
  return `${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
}

function sampleOf({ at, requests, hits, servedBytes, fetchedBytes }: UsagePoint): HistorySample {
  return { at, requests, hits, servedBytes, upstreamBytes: fetchedBytes };
}
