/**
 * One repository of a distribution storage folder into one of this registry: each manifest with its blobs and its tags is one line
 * of the log, so an import that is killed leaves whole images, and the next one brings the rest. A tag that was moved or deleted
 * here after an earlier import stays as it is.
 */
import type { BlobHolds } from '../../content/blob-holds.ts';
import type { Digest } from '../../oci/digest.ts';
import { excerpt, RegistryError } from '../../oci/error.ts';
import { walkLimits } from '../../oci/manifest-walk.ts';
import type { Repository } from '../../oci/name.ts';
import { parseReferrersTag } from '../../oci/referrer-list.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import type { DistributionFolder, SourceTag } from '../../store/import/distribution-folder.ts';
import type { Adopted, FileAdoption } from '../../store/import/file-adoption.ts';
import { commitDecided } from '../commit.ts';
import type { Cause, HostedChange, HostedLog, HostedRepository } from '../log/hosted-log.ts';
import { type PushedManifest, readPushedManifest, toManifestChange } from '../pushed-manifest.ts';
import { isReferrerList } from './fallback-tags.ts';
import type { ImportOrigin, ImportTally } from './import-report.ts';

export interface RepositoryImportOptions {
  readonly folder: DistributionFolder;
  readonly log: HostedLog;
  readonly store: Pick<BlobStore, 'put'>;
  readonly adoption: Pick<FileAdoption, 'adopt' | 'store'>;
  readonly holds: BlobHolds;
  readonly origin: ImportOrigin | undefined;
  readonly tally: ImportTally;
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Why a manifest isn't imported. */
class Unusable extends Error {}

export class RepositoryImport {
  readonly #options: RepositoryImportOptions;
  readonly #source: Repository;
  readonly #target: Repository;
  readonly #tags = new Map<Digest, SourceTag[]>();
  readonly #revisions = new Set<Digest>();
  /** True: it is in the target now. */
  readonly #done = new Map<Digest, Promise<boolean>>();

  constructor(source: Repository, target: Repository, options: RepositoryImportOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
  }

  /** Errors: UNAVAILABLE, `StoreError`, those of the file system, the signal's reason. */
  async run(): Promise<void> {
    const { folder, tally, signal } = this.#options;
    const tags = await folder.tags(this.#source, tag =>
      tally.skip(this.#source, tag, 'its link cannot be read'),
    );
    for (const digest of await folder.revisions(this.#source)) this.#revisions.add(digest);
    for (const tag of tags) {
      if (await this.#mergeReferrerTag(tag)) continue;
      this.#tags.set(tag.digest, [...(this.#tags.get(tag.digest) ?? []), tag]);
      this.#revisions.add(tag.digest);
    }
    for (const digest of this.#revisions) {
      signal.throwIfAborted();
      await this.#import(digest, 0);
      tally.progressed(this.#source);
    }
  }

  /** True: the subjects of what the tag lists say the same, so neither the tag nor its list is imported. */
  async #mergeReferrerTag({ tag, digest }: SourceTag): Promise<boolean> {
    const { folder, tally } = this.#options;
    const { subject, suffix } = parseReferrersTag(tag) ?? {};
    if (subject === undefined || suffix !== '') return false; // cosign's tags stay
    const isList = await isReferrerList(await this.#bytesOf(digest), subject, child =>
      folder.readManifest(child),
    );
    if (!isList) return false;
    this.#revisions.delete(digest);
    tally.mergedReferrerTags += 1;
    return true;
  }

  /** Never throws for what is wrong with the manifest: that is listed. */
  #import(digest: Digest, depth: number): Promise<boolean> {
    const running = this.#done.get(digest);
    if (running !== undefined) return running;
    const done = this.#importOnce(digest, depth).catch((error: unknown) => {
      if (!(error instanceof Unusable)) throw error;
      const tags = this.#tags.get(digest) ?? [];
      const names: readonly string[] = tags.length === 0 ? [digest] : tags.map(({ tag }) => tag);
      for (const name of names) this.#options.tally.skip(this.#source, name, error.message);
      return false;
    });
    this.#done.set(digest, done);
    return done;
  }

  async #importOnce(digest: Digest, depth: number): Promise<boolean> {
    const { log, tally, signal } = this.#options;
    const here = await log.readRepository(this.#target);
    if (here?.manifest(digest) !== undefined) {
      tally.manifests.present += 1;
      await this.#moveTags(digest, here);
      return true;
    }
    const bytes = await this.#bytesOf(digest);
    if (bytes === undefined) throw new Unusable('its manifest is missing or damaged');
    const pushed = readSourceManifest(bytes, digest);
    await this.#importChildren(pushed, depth);
    const releases: (() => void)[] = [];
    try {
      for (const named of [digest, ...pushed.names]) releases.push(await this.#options.holds.hold(named));
      const links = await this.#bringBlobs(pushed);
      await this.#options.store.put(digest, bytes);
      tally.tags.imported += this.#tagChanges(digest, here).length;
      await commitDecided(
        log,
        this.#target,
        repository => [
          ...Array.from(links)
            .filter(([blob]) => repository?.link(blob) === undefined)
            .map(([blob, size]): HostedChange => ({ type: 'link', digest: blob, size, ...this.#cause() })),
          toManifestChange(pushed, [], this.#causeOf(pushed)),
          ...this.#tagChanges(digest, repository),
        ],
        signal,
      );
    } finally {
      for (const release of releases) release();
    }
    tally.manifests.imported += 1;
    return true;
  }

  /** Errors: `Unusable` for an index of which no image could be imported. */
  async #importChildren({ names, needed }: PushedManifest, depth: number): Promise<void> {
    if (depth >= walkLimits.depth) throw new Unusable('indexes are nested too deeply in it');
    const children = names.filter(name => !needed.includes(name) && this.#revisions.has(name));
    const results: boolean[] = [];
    for (const child of children) results.push(await this.#import(child, depth + 1));
    if (results.length > 0 && !results.includes(true))
      throw new Unusable('none of the images that it lists could be imported');
  }

  /** Digest and size of each blob that is here now. Errors: `Unusable` for one that is missing and needed. */
  async #bringBlobs(pushed: PushedManifest): Promise<ReadonlyMap<Digest, number>> {
    const { tally } = this.#options;
    const sizes = new Map(pushed.named.map(({ digest, size }) => [digest, size]));
    const links = new Map<Digest, number>();
    const missing: Digest[] = [];
    for (const digest of pushed.names) {
      if (this.#revisions.has(digest)) continue; // a child, with a line of its own
      const adopted = await this.#bring(digest);
      const said = sizes.get(digest);
      if (adopted !== undefined && (said === undefined || said === adopted.size)) {
        links.set(digest, adopted.size);
        tally.blobs[adopted.as] += 1;
        if (adopted.as !== 'present') tally.bytes += adopted.size;
        tally.progressed(this.#source);
      } else if (pushed.needed.includes(digest)) missing.push(digest);
    }
    if (missing.length === 0) return links;
    throw new Unusable(`missing or damaged: ${missing.slice(0, 3).join(', ')}`);
  }

  async #bring(digest: Digest): Promise<Adopted | undefined> {
    const { adoption, folder, origin, signal } = this.#options;
    const adopted = await adoption.adopt(digest, folder.pathOf(digest), signal);
    if (adopted !== undefined || origin === undefined) return adopted;
    const bytes = await origin.blob(this.#source, digest, signal);
    return bytes && (await adoption.store(digest, bytes, signal));
  }

  async #bytesOf(digest: Digest): Promise<Buffer | undefined> {
    const { folder, origin, signal } = this.#options;
    return (await folder.readManifest(digest)) ?? (await origin?.manifest(this.#source, digest, signal));
  }

  async #moveTags(digest: Digest, here: HostedRepository): Promise<void> {
    const { log, signal, tally } = this.#options;
    const moves = this.#tagChanges(digest, here).length;
    tally.tags.present += (this.#tags.get(digest)?.length ?? 0) - moves;
    tally.tags.imported += moves;
    if (moves === 0) return;
    await commitDecided(log, this.#target, repository => this.#tagChanges(digest, repository), signal);
  }

  /** One whose last move here was no import was pushed, restored or deleted here: the source doesn't know better. */
  #tagChanges(digest: Digest, here: HostedRepository | undefined): readonly HostedChange[] {
    const changes: HostedChange[] = [];
    for (const { tag, movedMs } of this.#tags.get(digest) ?? []) {
      const [last] = here?.history(tag) ?? [];
      if (last?.to === digest) continue;
      if (last !== undefined && last.how !== 'import') continue;
      changes.push({ type: 'tag', tag, digest, ...this.#cause(movedMs) });
    }
    return changes;
  }

  /** An image with a tag is as old as its newest one; one without counts as pushed now, so that it isn't collected at once. */
  #causeOf({ descriptor }: PushedManifest): Cause {
    const moved = (this.#tags.get(descriptor.digest) ?? []).map(({ movedMs }) => movedMs);
    return this.#cause(moved.length === 0 ? undefined : Math.max(...moved));
  }

  #cause(atMs = Number.POSITIVE_INFINITY): Cause {
    return { at: Math.floor(Math.min(atMs, this.#options.now())), how: 'import' };
  }
}

/** Errors: `Unusable`. */
function readSourceManifest(bytes: Buffer, digest: Digest): PushedManifest {
  try {
    return readPushedManifest(bytes, '', digest);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    const isSchema1 = /^\s*\{[^{]*"schemaVersion"\s*:\s*1\b/.test(bytes.subarray(0, 4096).toString('latin1'));
    throw new Unusable(
      isSchema1
        ? 'it has schema 1, which has no descriptors to check'
        : `it cannot be read: ${excerpt(error.message)}`,
    );
  }
}
