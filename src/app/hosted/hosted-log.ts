/**
 * What the private registry has in the store, read whether or not `hosted.repositories` names anything now: the cache on the same disk
 * must not evict it. While a log is damaged, or not read yet, anything may be hosted.
 */
import type { HostedConfig } from '../../config/config.ts';
import { BlobHolds } from '../../content/blob-holds.ts';
import { LoggedRepositories } from '../../hosted/log/logged-repositories.ts';
import { ReferenceCounts } from '../../hosted/log/reference-counts.ts';
import { type LogRepair, repairLog } from '../../hosted/log/repair.ts';
import { HostedQuotas } from '../../hosted/quotas.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import { parseRepository, type Repository } from '../../oci/name.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import { HostedLogs } from '../../store/hosted/hosted-logs.ts';
import type { StoreLayout } from '../../store/layout.ts';
import type { Records } from '../../store/records/records.ts';
import type { AppContext } from '../app-context.ts';

export class HostedContent {
  readonly logs: HostedLogs;
  readonly log: LoggedRepositories;
  readonly references = new ReferenceCounts();
  readonly holds = new BlobHolds();
  readonly quotas: HostedQuotas;

  readonly #now: () => number;
  #repairing: Promise<unknown> = Promise.resolve();

  /** Reading the logs begins at once. */
  constructor(layout: StoreLayout, { config, metrics, logger, now }: HostedContext) {
    this.#now = now;
    this.logs = new HostedLogs({ layout, observer: metrics });
    const { logs, references } = this;
    const { quotas: rules, maxBytes } = config.hosted;
    const peek = (name: Repository) => this.log.peek(name);
    this.quotas = new HostedQuotas({ rules, maxBytes, known: () => this.log.complete, peek });
    const watch = (name: Repository) => this.quotas.watch(name);
    this.log = new LoggedRepositories({ logs, references, watch, logger, now });
  }

  /** All links are known: what has none may be removed. */
  get isKnown(): boolean {
    return this.log.isComplete && this.log.closed().size === 0;
  }

  /** A hosted repository links it, or may do so. */
  mayLink(digest: Digest): boolean {
    return !this.isKnown || this.references.has(digest);
  }

  /**
   * Rebuilds the log of that closed repository, or of all that are closed, and opens it. One at a time.
   * Errors: NAME_INVALID; UNSUPPORTED for one that is not closed; `StoreError`; the signal's reason.
   */
  repair(
    name: string | undefined,
    content: StoredContent,
    signal: AbortSignal,
  ): Promise<{ readonly repairs: readonly LogRepair[] }> {
    const repairing = this.#repairing.then(() => this.#repair(name, content, signal));
    this.#repairing = repairing.catch(() => undefined); // the caller has its error
    return repairing;
  }

  async #repair(name: string | undefined, { store, records }: StoredContent, signal: AbortSignal) {
    await this.log.complete;
    const closed = this.log.closed();
    const names = name === undefined ? [...closed.keys()] : [this.#requireClosed(parseRepository(name))];
    const isOnlyClosed = closed.size === 1;
    const cached = names.length === 0 ? new Set<Digest>() : await cachedDigests(records, signal);
    const isOfOthers = (digest: Digest) => cached.has(digest) || this.references.has(digest);
    const repairs: LogRepair[] = [];
    for (const closedName of names) {
      const options = { logs: this.logs, store, isOfOthers, isOnlyClosed, now: this.#now };
      repairs.push(await repairLog(closedName, options, signal));
      await this.log.reopen(closedName);
    }
    return { repairs };
  }

  #requireClosed(name: Repository): Repository {
    if (this.log.closed().has(name)) return name;
    const message = `${name} is not closed, so there is nothing to repair`;
    throw new RegistryError('UNSUPPORTED', { message });
  }
}

/** What a repair looks through. */
export interface StoredContent {
  readonly store: Pick<BlobStore, 'open' | 'sizeOf' | 'scan'>;
  readonly records: Pick<Records, 'allNames' | 'look'>;
}

/** All that cached records know as a manifest or a blob. */
async function cachedDigests(
  records: StoredContent['records'],
  signal: AbortSignal,
): Promise<ReadonlySet<Digest>> {
  const known = new Set<Digest>();
  for (const name of await records.allNames()) {
    signal.throwIfAborted();
    const record = await records.look(name).catch(() => undefined); // a foreign folder, reported at the start
    for (const { digest } of record?.manifests() ?? []) known.add(digest);
    for (const digest of record?.links() ?? []) known.add(digest);
  }
  return known;
}

interface HostedContext extends Pick<AppContext, 'logger' | 'now'> {
  readonly config: { readonly hosted: Pick<HostedConfig, 'quotas' | 'maxBytes'> };
  readonly metrics: Pick<AppContext['metrics'], 'storeError'>;
}
