/**
 * `hosted.quotas` and `hosted.max_size`: what is linked within a pattern, each digest once, and what is being pushed into it. A booking
 * is checked and noted in one turn, so that two pushes can't both take the last room.
 */
import { formatBytes } from '../lib/format.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { hostRepositories, type Repository, type Tag } from '../oci/name.ts';
import type { HostedRepository } from './log/hosted-log.ts';
import type { LinkEvents } from './log/repository-state.ts';
import type { QuotaDemand, Quotas } from './put-manifest.ts';

export interface QuotaRule {
  /** At least one pattern. */
  readonly repositories: readonly string[];
  readonly maxBytes?: number;
  readonly maxTags?: number;
}

export interface HostedQuotasOptions {
  readonly rules: readonly QuotaRule[];
  /** Of all that is hosted; Infinity: no limit. */
  readonly maxBytes: number;
  /** Resolves when all logs have been read: until then nothing is known to fit. */
  known(): Promise<void>;
  /** What is in memory. */
  peek(name: Repository): HostedRepository | undefined;
}

export class HostedQuotas implements Quotas {
  readonly #options: HostedQuotasOptions;
  readonly #uses: readonly QuotaUse[];

  constructor(options: HostedQuotasOptions) {
    const { rules, maxBytes } = options;
    this.#options = options;
    const hasTag = (name: Repository, tag: Tag) => options.peek(name)?.tag(tag) !== undefined;
    const inAll = Number.isFinite(maxBytes)
      ? [new QuotaUse({ repositories: ['**'], maxBytes }, 'hosted.max_size', hasTag)]
      : [];
    this.#uses = [
      ...inAll,
      ...rules.map(
        rule => new QuotaUse(rule, `hosted.quotas of ${rule.repositories.slice(0, 3).join(', ')}`, hasTag),
      ),
    ];
  }

  /** Of a repository whose log is opened: its links and tags count from then on. */
  watch(name: Repository): readonly LinkEvents[] {
    return this.#usesOf(name);
  }

  /** Errors: DENIED (403). */
  async book(name: Repository, added: QuotaDemand): Promise<() => void> {
    const uses = this.#usesOf(name);
    if (uses.length === 0) return () => {};
    await this.#options.known();
    for (const use of uses) use.require(name, added);
    for (const use of uses) use.book(name, added);
    return () => {
      for (const use of uses) use.unbook(name, added);
    };
  }

  #usesOf(name: Repository): QuotaUse[] {
    return this.#uses.filter(use => use.isFor(name));
  }
}

interface Counted {
  readonly size: number;
  count: number;
}

interface BookedTag {
  readonly name: Repository;
  readonly tag: Tag;
  count: number;
}

/** One rule, and what is used of it. A digest that is linked already takes nothing, in whichever booking. */
class QuotaUse implements LinkEvents {
  readonly isFor: (name: Repository) => boolean;
  readonly #rule: QuotaRule;
  readonly #label: string;
  readonly #hasTag: (name: Repository, tag: Tag) => boolean;
  readonly #linked = new Map<Digest, Counted>();
  readonly #booked = new Map<Digest, Counted>();
  readonly #bookedTags = new Map<string, BookedTag>();
  /** Linked ones, and booked ones that aren't linked. */
  #bytes = 0;
  #tags = 0;

  constructor(rule: QuotaRule, label: string, hasTag: (name: Repository, tag: Tag) => boolean) {
    this.isFor = hostRepositories(rule.repositories);
    this.#rule = rule;
    this.#label = label;
    this.#hasTag = hasTag;
  }

  linked(digest: Digest, size: number): void {
    if (add(this.#linked, digest, size) && !this.#booked.has(digest)) this.#bytes += size;
  }

  unlinked(digest: Digest): void {
    const size = remove(this.#linked, digest);
    if (size !== undefined && !this.#booked.has(digest)) this.#bytes -= size;
  }

  tagsChanged(by: number): void {
    this.#tags += by;
  }

  /** Errors: DENIED (403). What adds nothing is never refused. */
  require(name: Repository, { links, tags }: QuotaDemand): void {
    const { maxBytes, maxTags } = this.#rule;
    let bytes = 0;
    for (const [digest, size] of links)
      if (!this.#linked.has(digest) && !this.#booked.has(digest)) bytes += size;
    if (maxBytes !== undefined && bytes > 0 && this.#bytes + bytes > maxBytes)
      throw denied(name, this.#label, { of: 'bytes', limit: maxBytes, used: this.#bytes, wanted: bytes });
    const newTags = tags.filter(tag => !this.#bookedTags.has(`${name}:${tag}`)).length;
    const used = this.#usedTags();
    if (maxTags !== undefined && newTags > 0 && used + newTags > maxTags)
      throw denied(name, this.#label, { of: 'tags', limit: maxTags, used, wanted: newTags });
  }

  book(name: Repository, { links, tags }: QuotaDemand): void {
    for (const [digest, size] of links)
      if (add(this.#booked, digest, size) && !this.#linked.has(digest)) this.#bytes += size;
    for (const tag of tags) {
      const key = `${name}:${tag}`;
      const booked = this.#bookedTags.get(key);
      if (booked === undefined) this.#bookedTags.set(key, { name, tag, count: 1 });
      else booked.count += 1;
    }
  }

  unbook(name: Repository, { links, tags }: QuotaDemand): void {
    for (const digest of links.keys()) {
      const size = remove(this.#booked, digest);
      if (size !== undefined && !this.#linked.has(digest)) this.#bytes -= size;
    }
    for (const tag of tags) {
      const key = `${name}:${tag}`;
      const booked = this.#bookedTags.get(key);
      if (booked === undefined) continue;
      booked.count -= 1;
      if (booked.count === 0) this.#bookedTags.delete(key);
    }
  }

  /** With those that are booked and not there yet. */
  #usedTags(): number {
    let used = this.#tags;
    for (const { name, tag } of this.#bookedTags.values()) if (!this.#hasTag(name, tag)) used += 1;
    return used;
  }
}

/** True: it is the first one. */
function add(counted: Map<Digest, Counted>, digest: Digest, size: number): boolean {
  const known = counted.get(digest);
  if (known === undefined) counted.set(digest, { size, count: 1 });
  else known.count += 1;
  return known === undefined;
}

/** Its size, when it was the last one. */
function remove(counted: Map<Digest, Counted>, digest: Digest): number | undefined {
  const known = counted.get(digest);
  if (known === undefined) return undefined;
  known.count -= 1;
  if (known.count > 0) return undefined;
  counted.delete(digest);
  return known.size;
}

interface Excess {
  readonly of: 'bytes' | 'tags';
  readonly limit: number;
  readonly used: number;
  readonly wanted: number;
}

function denied(name: Repository, label: string, excess: Excess): RegistryError {
  const { of, limit, used, wanted } = excess;
  const text = (count: number): string => (of === 'bytes' ? formatBytes(count) : `${count} tags`);
  return new RegistryError('DENIED', {
    status: 403,
    message: `${name} has reached its limit (${label}): at most ${text(limit)}, ${text(used)} are used and ${text(wanted)} more are wanted`,
    detail: { ...excess },
  });
}
