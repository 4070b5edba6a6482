/**
 * The books: what is on disk and what was promised, in bytes. Each call takes effect at once; nothing here waits or knows a
 * limit.
 */
import type { Lru } from '../lru/lru.ts';
import type { Digest } from '../oci/digest.ts';

export interface RoomRequest {
  readonly bytes: number;
  /** A partial of that digest becomes part of the reservation. */
  readonly digest: Digest | undefined;
}

/** Pinned blobs, which are never evicted. */
export interface Pins {
  /** Of blobs that are pinned and held. */
  readonly bytes: number;
  /** A blob came into the store. */
  held(digest: Digest, size: number): void;
}

/** A partial on disk that no download is filling. */
export interface Partial {
  readonly digest: Digest;
  /** On disk. */
  readonly bytes: number;
  /** When it last grew: milliseconds since the epoch. */
  readonly lastUseMs: number;
}

/** A snapshot in bytes. `heldBytes`: blobs, manifests and partials; `freeBytes` of the disk, when it could be read. */
export interface Usage {
  readonly heldBytes: number;
  /** Of `heldBytes`, those of partials that no download fills. */
  readonly partialBytes: number;
  readonly reservedBytes: number;
  readonly limitBytes: number;
  /** `max_size`, or `min_free: the disk has only …`. */
  readonly limitReason: string;
  readonly freeBytes: number | undefined;
  /** Evictable blobs. */
  readonly blobs: number;
  /** False: the scan still runs, and `heldBytes` and `limitBytes` are incomplete. */
  readonly known: boolean;
}

export class Ledger {
  readonly partials = new PartialList();
  readonly #lru: Pick<Lru, 'bytes' | 'add'>;
  readonly #pins: Pins | undefined;
  manifestBytes = 0;
  reservedBytes = 0;

  constructor(lru: Pick<Lru, 'bytes' | 'add'>, pins?: Pins) {
    this.#lru = lru;
    this.#pins = pins;
  }

  get pinnedBytes(): number {
    return this.#pins?.bytes ?? 0;
  }

  /** The most that an eviction could free. */
  get evictableBytes(): number {
    return Math.max(0, this.#lru.bytes - this.pinnedBytes) + this.partials.bytes;
  }

  /** What stays after evicting everything evictable. */
  get fixedBytes(): number {
    return this.totalBytes - this.evictableBytes;
  }

  get heldBytes(): number {
    return this.#lru.bytes + this.partials.bytes + this.manifestBytes;
  }

  get totalBytes(): number {
    return this.heldBytes + this.reservedBytes;
  }

  /** What the request would add to the total. */
  cost({ bytes, digest }: RoomRequest): number {
    return bytes - (digest === undefined ? 0 : this.partials.bytesOf(digest));
  }

  fits(request: RoomRequest, limitBytes: number): boolean {
    return this.totalBytes + this.cost(request) <= limitBytes;
  }

  /** Whether `bytes` would fit into an empty cache. If not, an eviction for them would be in vain. */
  couldFit(bytes: number, limitBytes: number): boolean {
    return this.fixedBytes + bytes <= limitBytes;
  }

  book({ bytes, digest }: RoomRequest): void {
    this.reservedBytes += bytes;
    if (digest !== undefined) this.partials.delete(digest);
  }

  /** A blob came into the store. */
  keepBlob(digest: Digest, size: number): void {
    this.partials.delete(digest);
    this.#lru.add(digest, size);
    this.#pins?.held(digest, size);
  }
}

/** Partials count in the limit and are evicted before any blob. */
export class PartialList {
  readonly #partials = new Map<Digest, Partial>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  bytesOf(digest: Digest): number {
    return this.#partials.get(digest)?.bytes ?? 0;
  }

  has(digest: Digest): boolean {
    return this.#partials.has(digest);
  }

  set(partial: Partial): void {
    this.delete(partial.digest);
    this.#partials.set(partial.digest, partial);
    this.#bytes += partial.bytes;
  }

  delete(digest: Digest): void {
    this.#bytes -= this.bytesOf(digest);
    this.#partials.delete(digest);
  }

  coldestFirst(): readonly Partial[] {
    return [...this.#partials.values()].sort((a, b) => a.lastUseMs - b.lastUseMs);
  }
}
