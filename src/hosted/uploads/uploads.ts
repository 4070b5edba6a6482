/**
 * The upload sessions of the private registry: started, found again by their own repository and user, expired when no request uses them.
 * They survive a restart of the process. A mount is tried first where one is asked for.
 */
import { randomBytes } from 'node:crypto';
import type { UploadRoom } from '../../capacity/upload-room.ts';
import { algorithmOf, type Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Repository } from '../../oci/name.ts';
import type { Mounted, StartUpload, UploadSession, WriteOptions } from '../../registry/writer.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import { StoreError } from '../../store/store-error.ts';
import type { UploadFile } from '../../store/uploads/upload-file.ts';
import type { UploadFiles } from '../../store/uploads/upload-files.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { UploadObserver, UploadResult } from '../../telemetry/observer.ts';
import type { BlobLinks } from '../blob-links.ts';
import type { HostedLog } from '../log/hosted-log.ts';
import type { Mounts } from './mounts.ts';
import { HostedUpload, unknown } from './session.ts';

const maxOpen = 1000;
const maxOpenPerUser = 100;
/** A session without a byte gives its place up after that when places are short: its client loses nothing. */
const emptyIdleMs = 10 * 60_000;
const expireEveryMs = 60_000;

export interface UploadsOptions {
  readonly files: Pick<UploadFiles, 'create' | 'sweep'>;
  readonly store: Pick<BlobStore, 'commitUpload' | 'syncName'>;
  readonly log: Pick<HostedLog, 'readRepository'>;
  readonly links: BlobLinks;
  readonly mounts: Mounts;
  readonly room: UploadRoom;
  /** How long a session is kept that no request uses, in ms; 0: for ever. */
  readonly ttlMs: number;
  readonly observer: UploadObserver;
  readonly logger: Logger;
  /** See `HostedUploadOptions`. */
  orphaned(digest: Digest, size: number): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

interface Place {
  readonly user: string | undefined;
  /** Undefined while its files are being made. */
  session: HostedUpload | undefined;
  readonly repository: Repository;
}

/** How far an upload is. */
export interface UploadProgress {
  readonly repository: Repository;
  readonly user: string | undefined;
  /** Milliseconds since the epoch. */
  readonly beganMs: number;
  /** Written so far. */
  readonly bytes: number;
  /** A request writes to it now. */
  readonly isActive: boolean;
}

export class Uploads {
  readonly #options: UploadsOptions;
  readonly #places = new Map<string, Place>();
  readonly #found: Promise<void>;
  readonly #timer: NodeJS.Timeout;

  /** Finds the sessions of an earlier process in the background. */
  constructor(options: UploadsOptions) {
    this.#options = options;
    this.#found = this.#find();
    this.#timer = setInterval(() => void this.expire(), expireEveryMs).unref();
  }

  /** Errors: UNAVAILABLE; those of the log for a repository that is closed. */
  async startUpload(
    repository: Repository,
    { digest, algorithm, mount }: StartUpload,
    options: WriteOptions,
  ): Promise<UploadSession | Mounted> {
    await this.#options.log.readRepository(repository);
    const mounted = mount && (await this.#options.mounts.mount(repository, mount, options));
    if (mounted !== undefined) {
      this.#options.observer.uploadEnded('mounted');
      return mounted;
    }
    await this.#found;
    const { user } = options.caller;
    const place: Place = { user, repository, session: undefined };
    const id = await this.#addPlace(place);
    try {
      const file = await this.#options.files.create({
        id,
        repository,
        user,
        beganAt: this.#options.now(),
        algorithm: algorithm ?? (digest === undefined ? 'sha256' : algorithmOf(digest)),
        expected: digest,
      });
      return this.#open(place, file, this.#options.now());
    } catch (error) {
      this.#places.delete(id);
      if (!(error instanceof StoreError)) throw error;
      throw new RegistryError('UNAVAILABLE', {
        message: 'the store of this registry cannot be written now',
        cause: error,
      });
    }
  }

  /** Errors: BLOB_UPLOAD_UNKNOWN. */
  async upload(repository: Repository, id: string, { caller }: WriteOptions): Promise<UploadSession> {
    await this.#found;
    const place = this.#places.get(id);
    if (place?.session === undefined || place.repository !== repository || place.user !== caller.user)
      throw unknown();
    await place.session.used();
    return place.session;
  }

  /** Of all open sessions. */
  *progress(): Iterable<UploadProgress> {
    for (const { session, repository, user } of this.#places.values()) {
      if (session === undefined) continue;
      const { beganMs, offset, isActive } = session;
      yield { repository, user, beganMs, bytes: offset, isActive };
    }
  }

  /** Ends the sessions that no request has used for too long. Never throws. */
  async expire(): Promise<void> {
    const { ttlMs, now } = this.#options;
    if (ttlMs > 0) await this.#expire(session => session.idleMs(now()) >= ttlMs);
  }

  /** Sessions stay for the next process. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#found;
  }

  async #find(): Promise<void> {
    const { files, ttlMs, observer, logger, now } = this.#options;
    try {
      const { found, expired } = await files.sweep(ttlMs === 0 ? -Infinity : now() - ttlMs);
      for (const { file, lastUseMs } of found) {
        const { id, user, repository } = file.record;
        const place: Place = { user, repository, session: undefined };
        this.#places.set(id, place);
        this.#open(place, file, lastUseMs);
      }
      for (let count = 0; count < expired; count += 1) observer.uploadEnded('expired');
    } catch (error) {
      logger.warn('the uploads of the last run could not be read', { error });
    }
  }

  #open(place: Place, file: UploadFile, lastUseMs: number): HostedUpload {
    const { store, links, observer, orphaned, room, now } = this.#options;
    const session = new HostedUpload(
      {
        file,
        room: room.open(file.written),
        store,
        links,
        observer,
        orphaned,
        ended: (id, result) => this.#ended(id, result),
        now,
      },
      lastUseMs,
    );
    place.session = session;
    observer.uploadsOpen(this.#places.size);
    return session;
  }

  #ended(id: string, result: UploadResult): void {
    this.#places.delete(id);
    this.#options.observer.uploadsOpen(this.#places.size);
    this.#options.observer.uploadEnded(result);
  }

  /** Resolves with the id of the new session. Nothing is awaited between the count and the new place. Errors: UNAVAILABLE. */
  async #addPlace(place: Place): Promise<string> {
    const { now } = this.#options;
    if (!this.#hasPlace(place.user))
      await this.#expire(session => session.offset === 0 && session.idleMs(now()) >= emptyIdleMs);
    if (!this.#hasPlace(place.user)) {
      throw new RegistryError('UNAVAILABLE', {
        message: `too many uploads are open: at most ${maxOpenPerUser} of one user and ${maxOpen} in all; finish or cancel some`,
      });
    }
    const id = randomBytes(16).toString('hex');
    this.#places.set(id, place);
    return id;
  }

  #hasPlace(user: string | undefined): boolean {
    if (this.#places.size >= maxOpen) return false;
    let own = 0;
    for (const place of this.#places.values()) if (place.user === user) own += 1;
    return own < maxOpenPerUser;
  }

  async #expire(isDue: (session: HostedUpload) => boolean): Promise<void> {
    for (const { session } of [...this.#places.values()]) {
      // One that ended or was used again in between stays as it is.
      if (session !== undefined && isDue(session)) await session.expire().catch(() => false);
    }
  }
}
