/**
 * Uploads over a real store in a temporary folder, opened again as often as a test likes, the way a restarted process would
 * find it. The log is in memory; the disk under the room is a number.
 */
import { onTestFinished } from 'vitest';
import { UploadRoom } from '../../../../src/capacity/upload-room.ts';
import { BlobHolds } from '../../../../src/content/blob-holds.ts';
import { BlobLinks } from '../../../../src/hosted/blob-links.ts';
import { Mounts } from '../../../../src/hosted/uploads/mounts.ts';
import { Uploads } from '../../../../src/hosted/uploads/uploads.ts';
import type { Digest } from '../../../../src/oci/digest.ts';
import { RegistryError } from '../../../../src/oci/error.ts';
import { parseRepository, type Repository } from '../../../../src/oci/name.ts';
import { type ByteRange, spanOf } from '../../../../src/oci/range.ts';
import { type Caller, operatorCaller } from '../../../../src/registry/caller.ts';
import type { BlobAnswer, StatAnswer } from '../../../../src/registry/registry.ts';
import type {
  Mounted,
  RegistryWriter,
  StartUpload,
  UploadSession,
  WriteOptions,
} from '../../../../src/registry/writer.ts';
import { BlobStore } from '../../../../src/store/blobs/blob-store.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import { UploadFiles } from '../../../../src/store/uploads/upload-files.ts';
import type { UploadObserver } from '../../../../src/telemetry/observer.ts';
import { MemoryHostedLog } from '../../../support/memory-hosted-log.ts';
import { MemoryRegistry } from '../../../support/memory-registry.ts';
import { Recorder } from '../../../support/recorder.ts';
import { tempDir } from '../../../support/temp-dir.ts';

export const app = parseRepository('team/app');
export const other = parseRepository('team/other');
export const alice: Caller = { ...operatorCaller, user: 'alice' };

export function options(caller: Caller = alice): WriteOptions {
  return { caller, signal: new AbortController().signal };
}

/** Copies, which belong to the session that takes them. */
export async function* bodyOf(...chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

export interface UploadsRigOptions {
  readonly bootId?: string;
  readonly ttlMs?: number;
}

export class UploadsRig {
  readonly layout: StoreLayout;
  readonly recorder = new Recorder();
  readonly log = new MemoryHostedLog();
  readonly holds = new BlobHolds();
  readonly store: BlobStore;
  /** What the mirror's side may give to any client. */
  readonly publicBlobs = new Set<Digest>();
  readonly orphans: Digest[] = [];
  readonly ended: string[] = [];
  openCount = 0;
  receivedBytes = 0;
  nowMs = Date.now();
  /** The disk has so many bytes for everything. */
  diskBytes = Number.POSITIVE_INFINITY;
  /** Of these, the cache's, all of which can be evicted. */
  cacheBytes = 0;
  readonly room = new UploadRoom({
    refresh: async () => {},
    diskBytes: () => this.diskBytes,
    cacheBytes: what => (what === 'all' ? this.cacheBytes : 0),
    evict: async () => {
      this.cacheBytes = Math.max(0, Math.min(this.cacheBytes, this.diskBytes - this.room.reservedBytes));
    },
    makeRoom: async () => false,
  });
  readonly #options: UploadsRigOptions;
  uploads: Uploads;
  links: BlobLinks;

  private constructor(layout: StoreLayout, options: UploadsRigOptions) {
    this.layout = layout;
    this.#options = options;
    this.store = new BlobStore({ layout, observer: this.recorder.observer });
    this.links = new BlobLinks({
      log: this.log,
      holds: this.holds,
      store: this.store,
      sizeOf: digest => this.store.sizeOf(digest),
      quotas: { book: async () => () => {} },
      now: () => this.nowMs,
    });
    this.uploads = this.#open(options.bootId ?? 'boot-1');
  }

  static async create(options: UploadsRigOptions = {}): Promise<UploadsRig> {
    return new UploadsRig(await StoreLayout.open(await tempDir()), options);
  }

  /** As the next process, on the same machine or after a power cut (another `bootId`). */
  restart(bootId = 'boot-1'): void {
    this.uploads = this.#open(bootId);
  }

  async start(start: StartUpload = {}, caller = alice): Promise<UploadSession> {
    const session = await this.uploads.startUpload(app, start, options(caller));
    if (session.kind === 'session') return session;
    throw new Error('expected a session, got a mount');
  }

  #open(bootId: string): Uploads {
    const { layout, recorder, log, links, store, room } = this;
    const observer: UploadObserver = {
      received: bytes => {
        this.receivedBytes += bytes;
      },
      uploadsOpen: count => {
        this.openCount = count;
      },
      uploadEnded: result => this.ended.push(result),
    };
    const uploads = new Uploads({
      files: new UploadFiles({ layout, observer: recorder.observer, bootId }),
      store,
      log,
      links,
      mounts: new Mounts({
        log,
        links,
        sizeOf: digest => store.sizeOf(digest),
        publicSize: async digest => (this.publicBlobs.has(digest) ? store.sizeOf(digest) : undefined),
        logger: recorder.logger,
      }),
      room,
      ttlMs: this.#options.ttlMs ?? 86_400_000,
      observer,
      logger: recorder.logger,
      orphaned: digest => this.orphans.push(digest),
      now: () => this.nowMs,
    });
    onTestFinished(() => uploads.close());
    return uploads;
  }
}

/** The part of a hosted registry that reads and writes blobs. */
export class BlobRegistry extends MemoryRegistry implements Pick<RegistryWriter, 'startUpload' | 'upload'> {
  readonly #rig: UploadsRig;

  constructor(rig: UploadsRig) {
    super();
    this.#rig = rig;
  }

  startUpload(
    repository: Repository,
    start: StartUpload,
    write: WriteOptions,
  ): Promise<UploadSession | Mounted> {
    return this.#rig.uploads.startUpload(repository, start, write);
  }

  upload(repository: Repository, id: string, write: WriteOptions): Promise<UploadSession> {
    return this.#rig.uploads.upload(repository, id, write);
  }

  async deleteBlob(repository: Repository, digest: Digest): Promise<void> {
    await this.#rig.log.commit(repository, [{ type: 'unlink', digest, at: 0, how: 'delete' }]);
  }

  override async stat(repository: Repository, digest: Digest): Promise<StatAnswer> {
    const { reader, ...answer } = await this.blob(repository, digest, undefined);
    await reader.close();
    return answer;
  }

  override async blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
  ): Promise<BlobAnswer> {
    const link = this.#rig.log.peek(repository)?.link(digest);
    const held = link && (await this.#rig.store.open(digest));
    if (held === undefined) throw new RegistryError('BLOB_UNKNOWN');
    return { outcome: 'hit', size: held.size, ...spanOf(range, held.size), partial: false, reader: held };
  }
}
