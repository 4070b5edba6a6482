/** A hosted log in memory that knows links only: for tests of what links. */

import type {
  HostedChange,
  HostedLink,
  HostedLog,
  HostedRepository,
} from '../../src/hosted/log/hosted-log.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { RegistryError } from '../../src/oci/error.ts';
import type { Repository } from '../../src/oci/name.ts';

export class MemoryHostedLog implements Pick<HostedLog, 'names' | 'readRepository' | 'peek' | 'commit'> {
  readonly #links = new Map<Repository, Map<Digest, HostedLink>>();
  /** Every change that was committed. */
  readonly changes: HostedChange[] = [];
  /** The disk takes no line. */
  isFull = false;
  readonly closedNames = new Set<string>();
  /** Held up by a test. */
  beforeCommit: () => Promise<void> = async () => {};

  names(): readonly Repository[] {
    return [...this.#links.keys()].sort();
  }

  async readRepository(name: Repository): Promise<HostedRepository | undefined> {
    if (this.closedNames.has(name)) throw new RegistryError('UNAVAILABLE', { message: `${name} is closed` });
    return this.peek(name);
  }

  peek(name: Repository): HostedRepository | undefined {
    const links = this.#links.get(name);
    return links === undefined ? undefined : viewOf(name, links);
  }

  async commit(name: Repository, changes: readonly HostedChange[]): Promise<HostedRepository> {
    await this.beforeCommit();
    if (this.isFull) throw new RegistryError('UNAVAILABLE', { message: 'the log cannot be written' });
    const links = this.#links.get(name) ?? new Map<Digest, HostedLink>();
    this.#links.set(name, links);
    for (const change of changes) {
      if (change.type === 'link') links.set(change.digest, change);
      if (change.type === 'unlink') links.delete(change.digest);
      this.changes.push(change);
    }
    return viewOf(name, links);
  }
}

function viewOf(name: Repository, links: ReadonlyMap<Digest, HostedLink>): HostedRepository {
  return {
    name,
    generation: links.size,
    manifest: () => undefined,
    manifests: () => [],
    deletedManifests: () => [],
    link: digest => links.get(digest),
    links: () => links.values(),
    tag: () => undefined,
    tags: () => [],
    tagsOf: () => [],
    referrers: () => [],
    namedBy: () => [],
    history: () => [],
    tagsWithHistory: () => [],
  };
}
