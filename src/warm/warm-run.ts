/**
 * One list of images on its way into the cache: the images of an upstream one after the other, several upstreams side by side. A run that waits
 * for a pull limit or for its hours goes on by itself; what it has done so far can be read at any time.
 */
import type { WarmedImage, WarmReport, WarmWait } from '../admin/warm-admin.ts';
import type { Notifier } from '../lib/wait.ts';
import { RegistryError } from '../oci/error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ImageWarmer, WarmTarget } from './image-warmer.ts';
import type { WarmGate } from './warm-gate.ts';

/** An image as the command line or the configuration names it. */
export interface WarmItem {
  /** Canonical where it could be read. */
  readonly image: string;
  /** Absent: it isn't warmed, and `skipped` or `failed` says why. */
  readonly target?: WarmTarget;
  readonly upstream?: string;
  readonly skipped?: string;
  readonly failed?: string;
}

export interface WarmRunOptions {
  readonly source: string;
  readonly platforms: readonly string[];
  readonly items: readonly WarmItem[];
  readonly warmer: ImageWarmer;
  /** By upstream. */
  readonly gates: ReadonlyMap<string, WarmGate>;
  /** Rung when a gate closes or opens. */
  readonly changes: Notifier;
  readonly logger: Logger;
  readonly observer: WarmObserver;
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface WarmObserver {
  /** No client has asked for it yet. `repository`: canonical. */
  fetchedAhead(repository: string, digest: string): void;
}

export class WarmRun {
  /** Resolves when all images are done, or the run was stopped. Never rejects. */
  readonly ended: Promise<void>;
  readonly #options: WarmRunOptions;
  readonly #startedMs: number;
  readonly #stop = new AbortController();
  readonly #images: WarmedImage[];
  /** In the order in which they were done. */
  readonly #done: WarmedImage[] = [];
  /** Upstreams whose images aren't all done. */
  readonly #busy = new Set<string>();
  #endedMs: number | undefined;
  #fetchedManifests = 0;

  constructor(options: WarmRunOptions) {
    this.#options = options;
    this.#startedMs = options.now();
    this.#images = options.items.map(item => ({ ...nothing, ...describeItem(item) }));
    for (const image of this.#images) if (image.result !== 'waiting') this.#done.push(image);
    this.ended = this.#run();
  }

  get source(): string {
    return this.#options.source;
  }

  get isEnded(): boolean {
    return this.#endedMs !== undefined;
  }

  /** Images that are done, in that order. */
  get done(): readonly WarmedImage[] {
    return this.#done;
  }

  /** Nothing more can be done now: it has ended, or each upstream that is left waits. */
  get isIdle(): boolean {
    const { gates } = this.#options;
    return Array.from(this.#busy).every(upstream => gates.get(upstream)?.wait !== undefined);
  }

  report(): WarmReport {
    const { source, platforms } = this.#options;
    return {
      source,
      platforms,
      startedAt: new Date(this.#startedMs).toISOString(),
      endedAt: this.#endedMs === undefined ? null : new Date(this.#endedMs).toISOString(),
      images: [...this.#images],
      fetchedManifests: this.#fetchedManifests,
      fetchedBytes: this.#images.reduce((sum, { fetchedBytes }) => sum + fetchedBytes, 0),
      waiting: this.#waits(),
    };
  }

  /** Resolves when an image is done, or the run begins or ends to wait. Errors: the signal's reason. */
  async changed(signal: AbortSignal): Promise<void> {
    const { changed, cancel } = this.#options.changes.next();
    const onAbort = () => cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (!signal.aborted) await changed;
    } finally {
      cancel();
      signal.removeEventListener('abort', onAbort);
    }
    signal.throwIfAborted();
  }

  /** What was fetched stays. Resolves when nothing of it runs. */
  async stop(): Promise<void> {
    this.#stop.abort(new RegistryError('UNAVAILABLE', { message: 'stopped before it was done' }));
    await this.ended;
  }

  #waits(): readonly WarmWait[] {
    const { gates } = this.#options;
    return Array.from(this.#busy).flatMap(upstream => gates.get(upstream)?.wait ?? []);
  }

  async #run(): Promise<void> {
    const { items, changes, logger, now } = this.#options;
    const byUpstream = new Map<string, number[]>();
    for (const [index, { upstream }] of items.entries()) {
      if (upstream === undefined) continue;
      byUpstream.set(upstream, [...(byUpstream.get(upstream) ?? []), index]);
      this.#busy.add(upstream);
    }
    await Promise.all(Array.from(byUpstream, ([upstream, indexes]) => this.#runUpstream(upstream, indexes)));
    this.#endedMs = now();
    const { images, ...report } = this.report();
    const failures = images.filter(({ result }) => result === 'failed');
    const log = failures.length > 0 ? logger.warn : logger.info;
    log.call(logger, 'images warmed', {
      ...report,
      images: images.length,
      failed: failures.slice(0, 20).map(({ image, reason }) => ({ image, reason })),
    });
    changes.ring();
  }

  async #runUpstream(upstream: string, indexes: readonly number[]): Promise<void> {
    const { items, changes, gates } = this.#options;
    for (const index of indexes) {
      const { image, target } = items[index] ?? {};
      const gate = gates.get(upstream);
      if (image === undefined || target === undefined || gate === undefined) continue;
      const done = { ...nothing, image, ...(await this.#warm(target, gate)) };
      this.#images[index] = done;
      this.#done.push(done);
      changes.ring();
    }
    this.#busy.delete(upstream);
    changes.ring();
  }

  /** Never throws: what fails is told of the image. */
  async #warm(target: WarmTarget, gate: WarmGate): Promise<Partial<WarmedImage>> {
    const { signal } = this.#stop;
    try {
      signal.throwIfAborted();
      const { fetchedManifests, ...warmed } = await this.#options.warmer.warm(target, gate, signal);
      this.#fetchedManifests += fetchedManifests;
      if (fetchedManifests > 0) this.#options.observer.fetchedAhead(target.name, warmed.digest);
      return warmed;
    } catch (error) {
      if (!(error instanceof RegistryError))
        this.#options.logger.error('an image could not be warmed', { image: target.name, error });
      const reason =
        error instanceof RegistryError ? error.message : 'an unexpected error, which the log has';
      return { result: 'failed', reason };
    }
  }
}

const nothing = { result: 'waiting', digest: null, fetchedBytes: 0, reason: null } as const;

function describeItem({
  image,
  skipped,
  failed,
}: WarmItem): Partial<WarmedImage> & { readonly image: string } {
  if (skipped !== undefined) return { image, result: 'skipped', reason: skipped };
  return failed === undefined ? { image } : { image, result: 'failed', reason: failed };
}
