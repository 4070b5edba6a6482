/**
 * The commands over the parts themselves: those of a daemon, or a store that this process has taken. `ready` comes before
 * anything that depends on all of the store having been read.
 */
import { RegistryError } from '../oci/error.ts';
import { allowRepositories } from '../oci/name.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Admin, EvictReport, ListReport, PinReport, RefreshReport, StatsReport } from './admin.ts';
import { type EvictionOptions, ImageEviction } from './image-eviction.ts';
import { type ImageHosts, parseImage, parseImageOrBlob } from './image-name.ts';
import { listImages } from './inventory.ts';
import { type PinningOptions, pinImage, unpinImage } from './pinning.ts';
import { type RefreshingOptions, refreshTag } from './refreshing.ts';

export interface LocalAdminOptions extends EvictionOptions {
  readonly store: EvictionOptions['store'] & PinningOptions['store'];
  readonly pins: EvictionOptions['pins'] & PinningOptions['pins'];
  readonly hosts: ImageHosts;
  readonly logger: Logger;
  /** Undefined: no upstream can be asked. */
  readonly registry: RefreshingOptions['registry'] | undefined;
  stats(): Promise<StatsReport>;
  /** What is in memory and belongs on disk is written, as far as a listing depends on it. Never throws. */
  flush(): Promise<void>;
  /** Resolves when the pins are known and the store was read. Never throws. */
  ready(): Promise<void>;
}

export class LocalAdmin implements Admin {
  readonly #options: LocalAdminOptions;
  readonly #eviction: ImageEviction;

  constructor(options: LocalAdminOptions) {
    this.#options = options;
    this.#eviction = new ImageEviction(options);
  }

  stats(): Promise<StatsReport> {
    return this.#options.stats();
  }

  async list(pattern: string | undefined, signal: AbortSignal): Promise<ListReport> {
    await this.#options.flush();
    const isWanted = allowRepositories(pattern === undefined ? [] : [pattern], []);
    return { images: await listImages(this.#options, isWanted, signal) };
  }

  async refresh(text: string, signal: AbortSignal): Promise<RefreshReport> {
    const { hosts, records, registry } = this.#options;
    const image = parseImage(text, hosts);
    if (registry === undefined) {
      throw new RegistryError('UNSUPPORTED', { message: 'a refresh needs a running daemon, and none runs' });
    }
    return this.#told('refresh', await refreshTag({ records, registry }, image, signal));
  }

  async evict(text: string, signal: AbortSignal): Promise<EvictReport> {
    const image = parseImageOrBlob(text, this.#options.hosts);
    await this.#options.ready();
    const evicted =
      typeof image === 'string'
        ? await this.#eviction.evictBlob(image, signal)
        : await this.#eviction.evictImage(image, signal);
    return this.#told('evict', evicted);
  }

  async pin(text: string): Promise<PinReport> {
    return this.#told('pin', await pinImage(this.#options, parseImage(text, this.#options.hosts)));
  }

  async unpin(text: string): Promise<PinReport> {
    return this.#told('unpin', await unpinImage(this.#options, parseImage(text, this.#options.hosts)));
  }

  /** A line for each change: who looks for a blob later finds why it went. */
  #told<Report extends object>(command: string, report: Report): Report {
    this.#options.logger.info('command', { command, ...report });
    return report;
  }
}
