/**
 * `_catalog` of a mirror that is a private registry too: hosted names as they are and mirrored ones as `HOST/NAME`, merged
 * and sorted, each only for those who may pull it. All of it is in memory.
 */
import { waitFor } from '../lib/wait.ts';
import type { Repository, RepositoryPredicate } from '../oci/name.ts';
import { anonymousCaller } from '../registry/caller.ts';
import { byText, firstAfter } from '../registry/page.ts';
import type { PageOptions, RepositoriesPage, RepositoryCatalog } from '../registry/registry.ts';
import type { HostedLog } from './log/hosted-log.ts';

export interface HostedCatalogOptions {
  readonly log: Pick<HostedLog, 'names'>;
  /** All logs have been read. */
  readonly complete: Promise<void>;
  /** A name that the configuration has given up is not served any more. */
  readonly isHosted: RepositoryPredicate;
  readonly mirrored: RepositoryCatalog;
}

export class HostedCatalog implements RepositoryCatalog {
  readonly #options: HostedCatalogOptions;

  constructor(options: HostedCatalogOptions) {
    this.#options = options;
  }

  /** Errors: those of the mirrored side. */
  async repositories(options: PageOptions): Promise<RepositoriesPage> {
    const { n = Number.POSITIVE_INFINITY, signal } = options;
    await waitFor(this.#options.complete, signal);
    const hosted = this.#hostedAfter(options, n + 1);
    const { repositories, next, ...answer } = await this.#options.mirrored.repositories(options);
    const all = [...hosted, ...repositories].sort(byText);
    const page = all.slice(0, n);
    const last = page.at(-1);
    const hasMore = all.length > page.length || next !== undefined;
    return {
      ...answer,
      repositories: page,
      ...(hasMore && last !== undefined && { next: { last, n } }),
    };
  }

  /** At most `count`. */
  #hostedAfter({ last, caller = anonymousCaller }: PageOptions, count: number): readonly Repository[] {
    const names = this.#options.log.names();
    const found: Repository[] = [];
    for (let at = firstAfter(names, byText, last); at < names.length && found.length < count; at += 1) {
      const name = names[at];
      if (name !== undefined && this.#options.isHosted(name) && caller.mayPull(name, 'public'))
        found.push(name);
    }
    return found;
  }
}
