/**
 * What the private registry has in the store, read whether or not `hosted.repositories` names anything now: the cache on the same disk
 * must not evict it. While a log is damaged, or not read yet, anything may be hosted.
 */
import { BlobHolds } from '../content/blob-holds.ts';
import { LoggedRepositories } from '../hosted/log/logged-repositories.ts';
import { ReferenceCounts } from '../hosted/log/reference-counts.ts';
import type { Digest } from '../oci/digest.ts';
import { HostedLogs } from '../store/hosted/hosted-logs.ts';
import type { StoreLayout } from '../store/layout.ts';
import type { AppContext } from './app-context.ts';

export class HostedContent {
  readonly logs: HostedLogs;
  readonly log: LoggedRepositories;
  readonly references = new ReferenceCounts();
  readonly holds = new BlobHolds();

  /** Reading the logs begins at once. */
  constructor(
    layout: StoreLayout,
    { metrics, logger, now }: Pick<AppContext, 'logger' | 'now'> & { readonly metrics: StoreMetrics },
  ) {
    this.logs = new HostedLogs({ layout, observer: metrics });
    const { logs, references } = this;
    this.log = new LoggedRepositories({ logs, references, logger, now });
  }

  /** All links are known: what has none may be removed. */
  get isKnown(): boolean {
    return this.log.isComplete && this.log.closed().size === 0;
  }

  /** A hosted repository links it, or may do so. */
  mayLink(digest: Digest): boolean {
    return !this.isKnown || this.references.has(digest);
  }
}

type StoreMetrics = Pick<AppContext['metrics'], 'storeError'>;
