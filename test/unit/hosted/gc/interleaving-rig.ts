/**
 * A collector, an evictor and pushers over the real holds, owners, references, log and use cases; only the disk is a map, and each touch of it
 * is a gate. `team/app` has linked the layer and some junk so long ago that a collection drops both.
 */
import { vi } from 'vitest';
import { Evictor, type StoredFiles } from '../../../../src/capacity/evictor.ts';
import { Ledger } from '../../../../src/capacity/ledger.ts';
import { RoomQueue } from '../../../../src/capacity/room.ts';
import { BlobHolds } from '../../../../src/content/blob-holds.ts';
import { ContentOwners } from '../../../../src/content/content-owners.ts';
import { BlobLinks } from '../../../../src/hosted/blob-links.ts';
import { Collector } from '../../../../src/hosted/gc/collector.ts';
import { ImmutableTags } from '../../../../src/hosted/immutable-tags.ts';
import { LoggedRepositories } from '../../../../src/hosted/log/logged-repositories.ts';
import { ReferenceCounts } from '../../../../src/hosted/log/reference-counts.ts';
import { ManifestPuts } from '../../../../src/hosted/put-manifest.ts';
import { EmbeddedLru } from '../../../../src/lru/index/embedded-lru.ts';
import type { LruEntry } from '../../../../src/lru/lru.ts';
import { type Digest, digestOf } from '../../../../src/oci/digest.ts';
import { RegistryError } from '../../../../src/oci/error.ts';
import { parseManifest } from '../../../../src/oci/manifest.ts';
import { parseRepository, type Repository } from '../../../../src/oci/name.ts';
import { operatorCaller } from '../../../../src/registry/caller.ts';
import { FolderSyncs } from '../../../../src/store/folder-syncs.ts';
import { HostedLogs } from '../../../../src/store/hosted/hosted-logs.ts';
import { LogFile, type LogFileOptions, type LogLines } from '../../../../src/store/hosted/log-file.ts';
import type { StoreLayout } from '../../../../src/store/layout.ts';
import type { Records } from '../../../../src/store/records/records.ts';
import { app, tag } from '../../../support/hosted-log.ts';
import { Recorder } from '../../../support/recorder.ts';
import { Stage } from '../../../support/stage.ts';

export const other: Repository = parseRepository('team/other');
export const layer = digestOf(Buffer.from('layer'));
export const junk = digestOf(Buffer.from('junk'));
const layerBytes = 5;
const day = 86_400_000;

class MemoryLogs extends HostedLogs {
  readonly #stage: Stage;
  readonly #fileOptions: Omit<LogFileOptions, 'repository'>;

  constructor(options: Omit<LogFileOptions, 'repository'>, stage: Stage) {
    super(options);
    this.#stage = stage;
    this.#fileOptions = options;
  }

  override async *find() {}

  override open(repository: string): LogFile {
    return new MemoryLogFile({ ...this.#fileOptions, repository }, this.#stage);
  }
}

class MemoryLogFile extends LogFile {
  readonly #stage: Stage;
  #lines = 0;

  constructor(options: LogFileOptions, stage: Stage) {
    super(options);
    this.#stage = stage;
  }

  override get bytes(): number {
    return this.#lines;
  }

  override async read(): Promise<LogLines> {
    return { values: [], damage: undefined, tornBytes: 0 };
  }

  override async append(values: readonly unknown[]): Promise<void> {
    await this.#stage.gate();
    this.#lines += values.length;
  }

  override async close(): Promise<void> {}
}

class GatedLru extends EmbeddedLru {
  readonly #stage: Stage;

  constructor(options: ConstructorParameters<typeof EmbeddedLru>[0], stage: Stage) {
    super(options);
    this.#stage = stage;
  }

  override async coldest(count: number): Promise<readonly LruEntry[]> {
    const coldest = await super.coldest(count);
    await this.#stage.gate(); // what is read here is old when it is used
    return coldest;
  }
}

class MemoryStore {
  readonly files = new Map<Digest, number>();
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async sizeOf(digest: Digest): Promise<number | undefined> {
    await this.#stage.gate();
    return this.files.get(digest);
  }

  async put(digest: Digest, bytes: Buffer): Promise<boolean> {
    await this.#stage.gate();
    const isNew = !this.files.has(digest);
    this.files.set(digest, bytes.length);
    return isNew;
  }

  async remove(digest: Digest): Promise<number> {
    await this.#stage.gate();
    const bytes = this.files.get(digest) ?? 0;
    this.files.delete(digest);
    await this.#stage.gate();
    return bytes;
  }

  async syncName(): Promise<void> {}
}

export interface Setup {
  readonly layout: StoreLayout;
  readonly records: Pick<Records, 'allNames' | 'look'>;
  /** The layer is linked in `team/app`; else only the cache has it. */
  readonly isHosted: boolean;
}

export class InterleavingRig {
  readonly stage = new Stage(() => vi.advanceTimersByTime(64)); // pauses before another try
  readonly store = new MemoryStore(this.stage);
  readonly references = new ReferenceCounts();
  readonly log: LoggedRepositories;
  /** Manifests that were answered 201. */
  readonly answered: { readonly name: Repository; readonly digest: Digest }[] = [];
  nowMs = 10 * day;
  readonly #collector: Collector;
  readonly #evictor: Evictor;
  readonly #links: BlobLinks;
  readonly #puts: ManifestPuts;

  static async create(setup: Setup): Promise<InterleavingRig> {
    const rig = new InterleavingRig(setup);
    await rig.log.complete;
    const old = { size: layerBytes, at: 0, how: 'push' } as const;
    for (const digest of setup.isHosted ? [layer, junk] : [junk])
      await rig.log.commit(app, [{ type: 'link', digest, ...old }]);
    return rig;
  }

  private constructor({ layout, records, isHosted }: Setup) {
    const { stage, store, references } = this;
    const { observer, logger } = new Recorder();
    const now = () => this.nowMs;
    const holds = new BlobHolds();
    for (const digest of [layer, junk]) store.files.set(digest, layerBytes);
    const log = new LoggedRepositories({
      logs: new MemoryLogs({ layout, observer, folders: new FolderSyncs() }, stage),
      references,
      logger,
      now,
    });
    const lru = new GatedLru({ now, mayHold: digest => !references.has(digest) }, stage);
    if (!isHosted) lru.add(layer, layerBytes);
    const gatedRecords = {
      allNames: async () => {
        await stage.gate();
        return records.allNames();
      },
      look: (name: string) => records.look(name),
    };
    const owners = new ContentOwners({
      lru,
      holds,
      store,
      records: gatedRecords,
      logger,
      isHosted: digest => references.has(digest),
      mayRemove: () => true,
      account: () => {},
    });
    references.listen({
      gained: digest => owners.gained(digest),
      lost: (digest, size) => owners.lost(digest, size),
    });
    this.log = log;
    this.#collector = new Collector({
      log,
      references,
      owners,
      policy: { graceMs: day, undeleteMs: day, untaggedTtlMs: 30 * day },
      flushPulls: () => stage.gate(),
      observer: { collected: () => {}, freed: () => {}, ended: () => {} },
      logger,
      now,
    });
    const ledger = new Ledger(lru);
    const files: StoredFiles = {
      disk: { freeBytes: async () => ({ free: 0, total: 0 }) },
      downloads: { heldBytes: 0, isActive: () => false },
      recordBytes: () => 0,
      unusedRecords: () => ({ isNextBefore: () => false, removeNext: async () => {}, end: () => {} }),
      mayEvict: async () => {
        await stage.gate();
        return true;
      },
      findPartial: async () => undefined,
      unlinkBlob: digest => owners.removeFree(digest),
      unlinkPartial: async () => 0,
    };
    const queue = new RoomQueue(ledger, () => 1);
    this.#evictor = new Evictor({ lru, files, observer, logger, now }, ledger, queue);
    const sizeOf = (digest: Digest) => store.sizeOf(digest);
    const quotas = { book: async () => () => {} };
    this.#links = new BlobLinks({ log, holds, store, sizeOf, quotas, now });
    this.#puts = new ManifestPuts({
      log,
      store,
      files: { sizeOf },
      manifests: {
        keep: (descriptor, bytes) => ({
          descriptor,
          bytes,
          parsed: parseManifest(bytes, descriptor.mediaType),
        }),
      },
      holds,
      immutable: new ImmutableTags([]),
      quotas,
      publicSize: async () => undefined,
      orphaned: (digest, bytes) => owners.lost(digest, bytes),
      now,
    });
  }

  async collect(): Promise<void> {
    await this.#collector.collect({ dryRun: false }, new AbortController().signal);
  }

  async evict(): Promise<void> {
    for await (const _ of this.#evictor.removals()) await this.stage.gate();
  }

  /** As a client does: links the layer, uploads it if it is not here, and puts an image of it; begins anew when it is told that the layer is missing. */
  async push(name: Repository, text: string): Promise<void> {
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: layer, size: layerBytes };
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, config, layers: [], annotations: { text } }),
    );
    const manifest = { bytes, mediaType: 'application/vnd.oci.image.manifest.v1+json', tags: [] };
    const options = { caller: operatorCaller, signal: new AbortController().signal };
    for (;;) {
      await this.#links.link(
        { repository: name, digest: layer, user: undefined, how: 'push' },
        async held => {
          if (held === undefined) await this.store.put(layer, Buffer.alloc(layerBytes));
          return layerBytes;
        },
      );
      try {
        const { descriptor } = await this.#puts.put(name, tag(text), manifest, options);
        this.answered.push({ name, digest: descriptor.digest });
        this.check();
        return;
      } catch (error) {
        if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_BLOB_UNKNOWN') throw error;
      }
    }
  }

  /** All that was answered 201 is there, whole. */
  check(): void {
    for (const { name, digest } of this.answered) {
      const repository = this.log.peek(name);
      const isWhole = [digest, layer].every(
        one => this.store.files.has(one) && repository?.link(one) !== undefined && this.references.has(one),
      );
      if (!isWhole || repository?.manifest(digest) === undefined)
        throw new Error(`${name}@${digest} was answered 201 and lacks content`);
    }
  }

  /** What is left when all is quiet and nothing is young any more. */
  async leftAtTheEnd(): Promise<readonly Digest[]> {
    this.nowMs += 2 * day;
    await this.collect();
    this.check();
    return [...this.store.files.keys()].sort();
  }
}
