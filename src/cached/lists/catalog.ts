/**
 * The repositories that this mirror holds something of, as `HOST/REPOSITORY`, and of these only what the caller may pull.
 * Nobody is asked: it is read from the records on disk each time, and so survives restarts and upstreams alike.
 */

import { SingleFlight } from '../../lib/single-flight.ts';
import type { PageOptions, RepositoriesPage, RepositoryCatalog } from '../../registry/registry.ts';
import { byText, cutPage } from './page-cut.ts';

export interface CatalogOptions {
  /** Canonical names, in no order. Errors: `StoreError`. */
  names(): AsyncIterable<string>;
  /** `name` is canonical: `docker.io/library/alpine`. The options are those of the caller's request. */
  mayPull(name: string, options: PageOptions): boolean | Promise<boolean>;
}

export class Catalog implements RepositoryCatalog {
  readonly #options: CatalogOptions;
  readonly #reads = new SingleFlight<readonly string[]>();

  constructor(options: CatalogOptions) {
    this.#options = options;
  }

  async repositories(options: PageOptions): Promise<RepositoriesPage> {
    const { value: names } = await this.#reads.run('all', options.signal, () => this.#read());
    const allowed: string[] = [];
    for (const name of names) if (await this.#options.mayPull(name, options)) allowed.push(name);
    const { entries, next } = cutPage(allowed, byText, options);
    return { outcome: 'hit', repositories: entries, ...(next && { next }) };
  }

  async #read(): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const name of this.#options.names()) names.push(name);
    return names.sort(byText);
  }
}
