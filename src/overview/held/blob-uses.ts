/**
 * How many images name each blob, over all repositories: which bytes are an image's own, and what a cold blob belongs to. It is counted in
 * the background, in slices, while the page is in use, and again when it has grown old. Some 15 bytes per blob at half fill.
 */
import type { HeldFiles } from '../../admin/image-summary.ts';
import { TimeSlice } from '../../lib/time-slice.ts';
import { systemTimers, type Timers, wait } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ParsedManifest } from '../../oci/manifest.ts';
import {
  blobsOf,
  findMissing,
  type StoredManifest,
  type TypedDigest,
} from '../../store/records/image-tree.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { DigestTable } from './digest-table.ts';
import type { HeldRepositories } from './held-repositories.ts';
import type { HeldRepository } from './held-repository.ts';

export interface BlobUsesOptions {
  readonly repositories: Pick<HeldRepositories, 'names' | 'open' | 'visibilityOf'>;
  readonly content: HeldFiles & { manifest(named: TypedDigest): Promise<StoredManifest | undefined> };
  readonly logger: Logger;
  /** Ends the counting. */
  readonly signal: AbortSignal;
  readonly timers?: Timers;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** One counting; it does not change any more. */
export interface CountedUses {
  readonly countedAtMs: number;
  /** How many images name the blob. */
  countOf(digest: Digest): number;
  /** One of the repositories that name it, a public one where there is one. */
  repositoryOf(digest: Digest): string | undefined;
  /** Tags by their completeness, of each repository that has any. */
  readonly repositories: Iterable<{
    readonly name: string;
    readonly complete: number;
    readonly incomplete: number;
  }>;
}

const maxAgeMs = 15 * 60_000;
/** It works for so long, and then leaves the process to others. */
const workMs = 5;
const restMs = 20;

export class BlobUses {
  readonly #options: BlobUsesOptions;
  #counted: Count | undefined;
  #counting: Promise<void> | undefined;

  constructor(options: BlobUsesOptions) {
    this.#options = options;
  }

  /** The last counting, however old; a new one begins in the background when it is time. Undefined: none has ended yet. */
  current(): CountedUses | undefined {
    const { now, signal } = this.#options;
    const isOld = this.#counted === undefined || now() - this.#counted.countedAtMs >= maxAgeMs;
    if (isOld && !signal.aborted) this.#counting ??= this.#count();
    return this.#counted;
  }

  /** Resolves when no counting runs. Never throws. */
  async settled(): Promise<void> {
    await this.#counting;
  }

  async #count(): Promise<void> {
    const { repositories, logger, signal, timers = systemTimers, now } = this.#options;
    try {
      const count = new Count(now());
      let restAtMs = performance.now() + workMs;
      for (const name of await repositories.names(signal)) {
        signal.throwIfAborted();
        if (performance.now() >= restAtMs) {
          await wait(timers, restMs, signal); // who waits for a page goes first
          restAtMs = performance.now() + workMs;
        }
        const repository = await repositories.open(name);
        if (repository === undefined) continue;
        await this.#add(count, repository, (await repositories.visibilityOf(name)) === 'public');
      }
      this.#counted = count;
    } catch (error) {
      if (!signal.aborted) logger.warn('the uses of blobs could not be counted', { error });
    } finally {
      this.#counting = undefined;
    }
  }

  async #add(count: Count, repository: HeldRepository, isPublic: boolean): Promise<void> {
    const { content, signal } = this.#options;
    const slice = new TimeSlice();
    const parsed = new Map<Digest, ParsedManifest>();
    const index = count.begin(repository.name);
    for (const named of repository.manifests()) {
      signal.throwIfAborted();
      await slice.pause();
      const found = await content.manifest(named);
      if (found === undefined) continue;
      parsed.set(named.digest, found.parsed);
      const distinct = new Set(blobsOf(found.parsed).map(blob => blob.digest));
      for (const digest of distinct) {
        await slice.pause();
        count.add(digest, index, isPublic);
      }
    }
    for (const tag of repository.tags()) {
      await slice.pause();
      const named = repository.tag(tag);
      const root = named && parsed.get(named.digest);
      const missing =
        root &&
        (await findMissing(root, {
          manifest: async digest => parsed.get(digest),
          hasBlob: async digest => (await content.of(digest)) !== undefined,
          wasAsked: digest => repository.wasAsked(digest),
        }));
      count.tag(index, root !== undefined && missing === undefined);
    }
  }
}

class Count implements CountedUses {
  readonly countedAtMs: number;
  readonly #blobs = new DigestTable();
  readonly #names: string[] = [];
  readonly #complete: number[] = [];
  readonly #incomplete: number[] = [];

  constructor(countedAtMs: number) {
    this.countedAtMs = countedAtMs;
  }

  begin(name: string): number {
    this.#complete.push(0);
    this.#incomplete.push(0);
    return this.#names.push(name) - 1;
  }

  /** `isPublic`: it is the one to be named for the blob. */
  add(digest: Digest, repository: number, isPublic: boolean): void {
    this.#blobs.add(digest, repository, isPublic);
  }

  tag(repository: number, isComplete: boolean): void {
    const counts = isComplete ? this.#complete : this.#incomplete;
    counts[repository] = (counts[repository] ?? 0) + 1;
  }

  countOf(digest: Digest): number {
    return this.#blobs.get(digest)?.count ?? 0;
  }

  repositoryOf(digest: Digest): string | undefined {
    const use = this.#blobs.get(digest);
    return use && this.#names[use.label];
  }

  get repositories(): CountedUses['repositories'] {
    return this.#names.flatMap((name, index) => {
      const [complete, incomplete] = [this.#complete[index] ?? 0, this.#incomplete[index] ?? 0];
      return complete + incomplete === 0 ? [] : [{ name, complete, incomplete }];
    });
  }
}
