/** Pages of repositories, all of them or those that a search finds. It opens those of the page alone. */
import type { RepositoriesQuery, RepositoryRow, Rights } from '../../http/api/schema/images.ts';
import type { Caller } from '../../registry/caller.ts';
import { HOSTED } from '../../registry/directory.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';
import type { HeldRepository } from '../held/held-repository.ts';
import { timeOf } from './image-row.ts';
import { parseSearch } from './search.ts';

export interface ListPage<Row> {
  readonly rows: readonly Row[];
  /** For `last` of the next page; undefined: this is the last one. */
  readonly next?: string | undefined;
}

export class RepositoryList {
  readonly #repositories: Pick<HeldRepositories, 'visible' | 'open' | 'visibilityOf'>;

  constructor(repositories: Pick<HeldRepositories, 'visible' | 'open' | 'visibilityOf'>) {
    this.#repositories = repositories;
  }

  /** Errors: `StoreError` scan; the signal's reason; those of the hosted log. */
  async page(
    { n, last, q }: RepositoriesQuery,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<ListPage<RepositoryRow>> {
    const search = parseSearch(q);
    const isWanted = (name: string) => name !== last && search.matchesRepository(name);
    const rows: RepositoryRow[] = [];
    for await (const name of this.#repositories.visible({ caller, signal, from: last, isWanted })) {
      if (rows.length === n) return { rows, next: rows.at(-1)?.name };
      const repository = await this.#repositories.open(name);
      if (repository === undefined) continue; // it has gone meanwhile
      const visibility = await this.#repositories.visibilityOf(name);
      const { upstream, lastUseMs, counts } = repository;
      const may = rightsIn(repository, caller);
      rows.push({ name, upstream, visibility, ...counts, lastUsedAt: timeOf(lastUseMs), may });
    }
    return { rows };
  }
}

export function rightsIn(
  { name, upstream }: Pick<HeldRepository, 'name' | 'upstream'>,
  caller: Caller,
): Rights {
  const isHosted = upstream === HOSTED;
  return {
    push: isHosted && caller.mayPush(name),
    delete: isHosted && caller.mayDelete(name),
    admin: caller.user !== undefined && caller.mayAdminister(name),
  };
}
