/**
 * Marks what served manifests name as used, so that a base layer of many images doesn't look cold. A manifest that names many
 * blobs is marked at most every 30 s and in slices, so that serving it costs others nothing.
 */
import type { Digest } from '../oci/digest.ts';
import { isBlobChild } from '../oci/image-needs.ts';
import type { ParsedManifest } from '../oci/manifest.ts';

/** Up to so many are marked at once and each time; real images name fewer. */
const sliceSize = 128;
const everyMs = 30_000;

export interface ManifestTouchesOptions {
  touch(digest: Digest): void;
  /** A child that is in memory. */
  peek(digest: Digest): ParsedManifest | undefined;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class ManifestTouches {
  readonly #options: ManifestTouchesOptions;
  readonly #touchedAt = new WeakMap<ParsedManifest, number>();
  readonly #waiting: Iterator<Digest>[] = [];

  constructor(options: ManifestTouchesOptions) {
    this.#options = options;
  }

  /** The config and the layers; of an index, the blobs that it lists, and those of its image children that are in memory. Synchronous for small ones. */
  touch(manifest: ParsedManifest): void {
    if (!this.#isDue(manifest)) return;
    const digests = this.#digestsOf(manifest);
    if (this.#touchSome(digests)) return;
    this.#waiting.push(digests);
    if (this.#waiting.length === 1) setImmediate(() => this.#goOn());
  }

  #goOn(): void {
    const [digests] = this.#waiting;
    if (digests === undefined) return;
    if (this.#touchSome(digests)) this.#waiting.shift();
    if (this.#waiting.length > 0) setImmediate(() => this.#goOn());
  }

  /** One slice. True: none is left. */
  #touchSome(digests: Iterator<Digest>): boolean {
    for (let count = 0; count < sliceSize; count += 1) {
      const { done, value } = digests.next();
      if (done === true) return true;
      this.#options.touch(value);
    }
    return false;
  }

  #isDue(manifest: ParsedManifest): boolean {
    if (manifest.layers.length + manifest.manifests.length < sliceSize) return true;
    const nowMs = this.#options.now();
    const ageMs = nowMs - (this.#touchedAt.get(manifest) ?? -Infinity);
    if (ageMs >= 0 && ageMs < everyMs) return false;
    this.#touchedAt.set(manifest, nowMs);
    return true;
  }

  *#digestsOf({ config, layers, manifests }: ParsedManifest): Generator<Digest, void, void> {
    if (config !== undefined) yield config.digest;
    for (const { digest } of layers) yield digest;
    const seen = new Set<Digest>();
    for (const named of manifests) {
      const { digest } = named;
      if (seen.has(digest)) continue;
      seen.add(digest);
      if (isBlobChild(named)) yield digest;
      const child = this.#options.peek(digest);
      if (child === undefined || child.kind !== 'image' || !this.#isDue(child)) continue;
      yield* this.#digestsOf(child);
    }
  }
}
