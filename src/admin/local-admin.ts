/**
 * The commands over the parts themselves: those of a daemon, or of a store that this process has taken. Commands that need the whole store
 * read wait for `ready`. A pin is a line in the record of its repository, on disk before the answer; `PinnedBlobs` works out its blobs.
 */
import { type Digest, isDigest } from '../oci/digest.ts';
import { excerpt, RegistryError } from '../oci/error.ts';
import { operatorCaller } from '../registry/caller.ts';
import type { RegistryReader, StaleReason } from '../registry/registry.ts';
import type { ScrubReport, ScrubRequest } from '../registry/scrub-report.ts';
import type { UsageSince } from '../report/daily-report.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { PinnedBlobs } from '../store/records/pinned-blobs.ts';
import type { Records } from '../store/records/records.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { OnProgress } from '../telemetry/progress.ts';
import type {
  Admin,
  EvictReport,
  ImportFolder,
  ImportReport,
  ImportRequest,
  ListReport,
  PinReport,
  ReadOnlyReport,
  RefreshReport,
  RepairReport,
  ReplayReport,
  StatsReport,
  StatsWanted,
} from './admin.ts';
import type { BundleAdmin } from './bundle-admin.ts';
import type { GcReport, GcWanted } from './gc-report.ts';
import { type EvictWanted, ImageEviction, notHeld, requireWritten } from './image-eviction.ts';
import { formatImage, type ImageHosts, type ImageName, parseImage, parseImageOrBlob } from './image-name.ts';
import { parseImagePattern } from './image-pattern.ts';
import { listImages } from './inventory.ts';
import { describePin, keepsNothing } from './pin-report.ts';
import type { TagAdmin } from './tag-admin.ts';
import { describeUsage, type UsageReport } from './usage-report.ts';
import type { WarmEvent, WarmRequest } from './warm-admin.ts';

export interface HostedCommands {
  gc(wanted: GcWanted, signal: AbortSignal, onProgress?: OnProgress): Promise<GcReport>;
  readonly readOnly: { readonly state: boolean | string; set(state: boolean | string): void };
}

export interface LocalAdminOptions {
  readonly records: Pick<Records, 'allNames' | 'look' | 'open'>;
  readonly store: Pick<BlobStore, 'open' | 'remove' | 'sizeOf'>;
  readonly pins: Pick<PinnedBlobs, 'isPinned' | 'settled'>;
  readonly hosts: ImageHosts;
  readonly logger: Logger;
  /** Of a configured upstream, by its host; absent: no upstream can be asked. */
  readonly registry: ((host: string) => Pick<RegistryReader, 'manifest'> | undefined) | undefined;
  /** Absent: nothing is hosted. */
  readonly importFolder: ImportFolder | undefined;
  /** Of a running daemon's `notifications`. Undefined: it has no such target. */
  readonly replay?: (target: string) => Promise<number> | undefined;
  /** That digest is being filled. */
  isActive(digest: Digest): boolean;
  /** A hosted repository needs it, or may need it. */
  isHosted(digest: Digest): boolean;
  /** Its file was removed: whatever counts or keeps it must forget it. */
  blobRemoved(digest: Digest, bytes: number): void;
  manifestRemoved(digest: Digest, bytes: number): void;
  readonly tags: TagAdmin;
  readonly bundles: BundleAdmin;
  /** As `Admin.gc` and `Admin.readOnly`; absent: there is no daemon, or it hosts no repositories. */
  readonly hosted?: HostedCommands | undefined;
  /** What the daily report has. Absent: there is none. */
  readonly usage?: (sinceMs: number) => Promise<UsageSince>;
  /** As `Admin.warm`; absent: there is no daemon. */
  readonly warm?: Admin['warm'];
  /** As `Admin.repair`. */
  repair(repository: string | undefined, signal: AbortSignal): Promise<RepairReport>;
  /** As `Admin.scrub`. */
  scrub(wanted: ScrubRequest, signal: AbortSignal, onProgress?: OnProgress): Promise<ScrubReport>;
  stats(wanted?: StatsWanted): Promise<StatsReport>;
  /** Writes what a listing reads from disk and is in memory only. Never throws. */
  flush(): Promise<void>;
  /** Resolves when the pins are known and the store was read. Never throws. */
  ready(): Promise<void>;
}

const reasons: Readonly<Record<StaleReason, string>> = {
  offline: 'this mirror is offline by its configuration',
  unreachable: 'the upstream cannot be reached',
  slow: 'the upstream did not answer in time, the check goes on in the background',
  refused: 'the upstream refused to answer',
  gone: 'the upstream no longer has it',
  'rate-limited': 'the upstream limits requests',
  'pull-quota': 'it has moved, but little is left of the upstream pull limit',
};

function nothingHosted(): RegistryError {
  return new RegistryError('UNSUPPORTED', {
    message: 'nothing is hosted here: set hosted.repositories first, such as ["**"]',
  });
}

export class LocalAdmin implements Admin {
  readonly #options: LocalAdminOptions;
  readonly #eviction: ImageEviction;

  constructor(options: LocalAdminOptions) {
    this.#options = options;
    this.#eviction = new ImageEviction(options);
  }

  async importFolder(
    request: ImportRequest,
    signal: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<ImportReport> {
    const { importFolder } = this.#options;
    if (importFolder !== undefined) return await importFolder(request, signal, onProgress);
    throw nothingHosted();
  }

  get tags(): TagAdmin {
    return this.#options.tags;
  }

  get bundles(): BundleAdmin {
    return this.#options.bundles;
  }

  stats(wanted?: StatsWanted): Promise<StatsReport> {
    return this.#options.stats(wanted);
  }

  async list(pattern: string | undefined, signal: AbortSignal): Promise<ListReport> {
    await this.#options.flush();
    if (pattern === undefined) return { images: await listImages(this.#options, () => true, signal) };
    const wanted = parseImagePattern(pattern, this.#options.hosts);
    const images = await listImages(this.#options, name => wanted.matchesRepository(name), signal);
    return { images: images.filter(image => wanted.matches(image)) };
  }

  async refresh(text: string, signal: AbortSignal): Promise<RefreshReport> {
    return this.#log('refresh', await this.#refresh(parseImage(text, this.#options.hosts), signal));
  }

  async evict(text: string, signal: AbortSignal, wanted: EvictWanted = {}): Promise<EvictReport> {
    const image = parseImageOrBlob(text, this.#options.hosts);
    await this.#options.ready();
    const evicted =
      typeof image === 'string'
        ? await this.#eviction.evictBlob(image, signal, wanted)
        : await this.#eviction.evictImage(image, signal, wanted);
    return wanted.dryRun === true ? evicted : this.#log('evict', evicted);
  }

  async pin(text: string): Promise<PinReport> {
    return this.#log('pin', await this.#pin(parseImage(text, this.#options.hosts)));
  }

  async unpin(text: string): Promise<PinReport> {
    return this.#log('unpin', await this.#unpin(parseImage(text, this.#options.hosts)));
  }

  async repair(repository: string | undefined, signal: AbortSignal): Promise<RepairReport> {
    return this.#log('repair', await this.#options.repair(repository, signal));
  }

  async replay(target: string): Promise<ReplayReport> {
    const { replay } = this.#options;
    if (replay === undefined) {
      const message =
        'a replay needs a running daemon, and none runs; it sends what was not sent when it starts';
      throw new RegistryError('UNSUPPORTED', { message });
    }
    const events = replay(target);
    if (events === undefined)
      throw new RegistryError('NAME_UNKNOWN', {
        message: `no entry of notifications has the name ${excerpt(target)}`,
      });
    return this.#log('notifications replay', { target, events: await events });
  }

  async gc(wanted: GcWanted, signal: AbortSignal, onProgress?: OnProgress): Promise<GcReport> {
    return this.#requireHosted().gc(wanted, signal, onProgress);
  }

  async scrub(wanted: ScrubRequest, signal: AbortSignal, onProgress?: OnProgress): Promise<ScrubReport> {
    return this.#options.scrub(wanted, signal, onProgress);
  }

  warm(request: WarmRequest, signal: AbortSignal): AsyncIterable<WarmEvent> {
    const { warm } = this.#options;
    if (warm !== undefined) return warm(request, signal);
    throw new RegistryError('UNSUPPORTED', { message: 'warm needs a running daemon, and none runs' });
  }

  async report(sinceMs: number, signal: AbortSignal): Promise<UsageReport> {
    const { usage } = this.#options;
    if (usage === undefined)
      throw new RegistryError('UNSUPPORTED', { message: 'this store has no daily report' });
    return describeUsage(await usage(sinceMs), this.#options, signal);
  }

  async readOnly(state: boolean | string | undefined): Promise<ReadOnlyReport> {
    const { readOnly } = this.#requireHosted();
    if (state === undefined) return { readOnly: readOnly.state };
    readOnly.set(state);
    return this.#log('read-only', { readOnly: state });
  }

  /** Errors: UNSUPPORTED. */
  #requireHosted(): HostedCommands {
    const { hosted } = this.#options;
    if (hosted !== undefined) return hosted;
    const message = 'this command needs a running daemon with hosted.repositories, and none runs';
    throw new RegistryError('UNSUPPORTED', { message });
  }

  /** Errors: MANIFEST_UNKNOWN when the tag isn't held, TAG_INVALID for a digest, DENIED. */
  async #refresh(image: ImageName, signal: AbortSignal): Promise<RefreshReport> {
    const { records, registry } = this.#options;
    if (registry === undefined) {
      throw new RegistryError('UNSUPPORTED', { message: 'a refresh needs a running daemon, and none runs' });
    }
    const { name, host, repository, reference } = image;
    if (isDigest(reference)) {
      const message = `only a tag can be checked, because a digest never moves: ${reference}`;
      throw new RegistryError('TAG_INVALID', { message });
    }
    const from = (await records.open(name)).tag(reference)?.descriptor.digest;
    if (from === undefined) throw notHeld('MANIFEST_UNKNOWN', formatImage(image));
    const reader = registry(host);
    const still = { image: formatImage(image), from, to: from };
    if (reader === undefined)
      return { ...still, result: 'unknown', reason: 'its upstream is not configured any more' };
    try {
      const answer = await reader.manifest(repository, reference, {
        signal,
        mustCheck: true,
        caller: operatorCaller,
      });
      const to = answer.descriptor.digest;
      if (answer.stale === undefined)
        return { ...still, to, result: to === from ? 'same' : 'moved', reason: null };
      const result = answer.stale === 'gone' ? 'gone' : 'unknown';
      return { ...still, result, reason: reasons[answer.stale] };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RegistryError) || error.code === 'DENIED') throw error;
      const isGone = error.detail?.['reason'] === 'gone';
      return { ...still, result: isGone ? 'gone' : 'unknown', reason: error.message };
    }
  }

  /** Errors: MANIFEST_UNKNOWN, UNAVAILABLE. */
  async #pin(image: ImageName): Promise<PinReport> {
    const { records, store, pins } = this.#options;
    const record = await records.open(image.name);
    const root = record.named(image.reference);
    const meaning = root && (await describePin(store, root));
    if (meaning === undefined) throw notHeld('MANIFEST_UNKNOWN', formatImage(image));
    const changed = !record.pins.has(image.reference);
    record.pin(image.reference);
    await requireWritten(record);
    await pins.settled();
    return { image: formatImage(image), changed, ...meaning };
  }

  /** An image that is pinned and no longer held can be unpinned too. Errors: MANIFEST_UNKNOWN, UNAVAILABLE. */
  async #unpin(image: ImageName): Promise<PinReport> {
    const { records, store, pins } = this.#options;
    const record = await records.open(image.name);
    const changed = record.pins.has(image.reference);
    const root = record.named(image.reference);
    if (root === undefined && !changed) throw notHeld('MANIFEST_UNKNOWN', formatImage(image));
    const meaning = (root && (await describePin(store, root))) ?? keepsNothing(root?.digest);
    record.unpin(image.reference);
    await requireWritten(record);
    await pins.settled();
    return { image: formatImage(image), changed, ...meaning };
  }

  /** One line for each change, so that an operator later finds why a blob is gone. */
  #log<Report extends object>(command: string, report: Report): Report {
    this.#options.logger.info('command', { command, ...report });
    return report;
  }
}
