/**
 * `cistern warm` and the schedule of the configuration: starts runs, knows what the last ones came to, and ends those that run when the mirror
 * stops. Runs of one upstream share its pull limit.
 */
import type { WarmEvent, WarmReport, WarmRequest, WarmStats, WarmSummary } from '../admin/warm-admin.ts';
import type { DayWindow } from '../lib/day-time.ts';
import { Notifier } from '../lib/wait.ts';
import type { Platform } from '../oci/platform.ts';
import { parsePlatformText } from '../oci/platform.ts';
import type { Logger } from '../telemetry/logger.ts';
import { type HeldContent, ImageWarmer } from './image-warmer.ts';
import { type WarmClock, WarmGate, type WarmUpstream } from './warm-gate.ts';
import { type WarmItem, type WarmObserver, WarmRun } from './warm-run.ts';
import { type WarmEntry, WarmSchedule } from './warm-schedule.ts';

export interface WarmOptions extends WarmClock {
  readonly upstreams: readonly WarmUpstream[];
  readonly content: HeldContent;
  /** What the text names, over the hosts of the configuration. */
  parse(image: string): WarmItem;
  /** Of this machine: `linux/amd64`. */
  readonly platform: Platform;
  readonly logger: Logger;
  readonly observer: WarmObserver;
}

/** Of commands; those of the schedule come on top. */
const keptCommands = 5;
const shownFailures = 20;

export class Warm {
  readonly #options: WarmOptions;
  readonly #warmer: ImageWarmer;
  readonly #upstreams: ReadonlyMap<string, WarmUpstream>;
  readonly #schedule: WarmSchedule;
  /** The newest first. */
  #runs: readonly WarmRun[] = [];
  #isClosed = false;

  constructor(options: WarmOptions) {
    this.#options = options;
    this.#warmer = new ImageWarmer(options.content);
    this.#upstreams = new Map(options.upstreams.map(upstream => [upstream.key, upstream]));
    const { timers, now, logger } = options;
    this.#schedule = new WarmSchedule({
      timers,
      now,
      logger,
      start: (entry, source) => this.start(entry, source, entry.window),
    });
  }

  /** It runs at once, by itself. */
  start(request: WarmRequest, source: string, window?: DayWindow): WarmRun {
    const { logger, observer, now } = this.#options;
    const platforms =
      request.platforms.length === 0 ? [formatPlatform(this.#options.platform)] : request.platforms;
    const items = request.images.map(image => this.#read(image, platforms));
    const changes = new Notifier();
    const gates = new Map<string, WarmGate>();
    for (const { upstream } of items) {
      const found = upstream === undefined ? undefined : this.#upstreams.get(upstream);
      if (found !== undefined && !gates.has(found.key))
        gates.set(found.key, new WarmGate(found, window, this.#options, () => changes.ring()));
    }
    const run = new WarmRun({
      source,
      platforms,
      items,
      warmer: this.#warmer,
      gates,
      changes,
      logger,
      observer,
      now,
    });
    this.#keep(run);
    if (this.#isClosed) void run.stop();
    return run;
  }

  /**
   * A run, told image by image, until nothing more can be done now: what waits for a pull limit goes on without a listener. It is stopped
   * when the signal aborts before that. Errors: the signal's reason.
   */
  async *follow(request: WarmRequest, signal: AbortSignal): AsyncGenerator<WarmEvent, void, void> {
    const run = this.start(request, 'command');
    try {
      for (let told = 0; ; ) {
        const next = run.done[told];
        if (next !== undefined) {
          told += 1;
          yield { image: next };
        } else if (run.isIdle) break;
        else await run.changed(signal);
      }
    } finally {
      if (!run.isIdle) await run.stop();
    }
    yield { report: run.report() };
  }

  /** The entries of the configuration, from now on. Runs of earlier entries are stopped. */
  apply(entries: readonly WarmEntry[]): Promise<void> {
    return this.#schedule.apply(entries);
  }

  /** Something is scheduled, or was warmed since the start. */
  get isUsed(): boolean {
    return this.#runs.length > 0 || this.#schedule.report().length > 0;
  }

  stats(): WarmStats {
    return {
      schedule: this.#schedule.report(),
      runs: this.#runs.map(run => summarize(run.report())),
    };
  }

  /** Of the last runs, image by image; the newest first. */
  reports(): readonly WarmReport[] {
    return this.#runs.map(run => run.report());
  }

  /** Idempotent. Never throws. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#schedule.close();
    await Promise.all(this.#runs.map(run => run.stop()));
  }

  #read(image: string, platformTexts: readonly string[]): WarmItem {
    const item = this.#options.parse(image);
    if (item.target === undefined) return item;
    if (item.upstream === undefined || !this.#upstreams.has(item.upstream))
      return {
        image: item.image,
        skipped: `${item.upstream ?? 'its registry'} is no upstream of this mirror`,
      };
    const platforms = platformTexts.includes('all')
      ? undefined
      : platformTexts.flatMap(text => parsePlatformText(text) ?? []);
    return { ...item, target: { ...item.target, platforms } };
  }

  /** The last run of each entry, and some commands; what runs or waits is never forgotten. */
  #keep(run: WarmRun): void {
    let commands = 0;
    const sources = new Set<string>();
    this.#runs = [run, ...this.#runs].filter(({ source, isEnded }) => {
      if (source === 'command') commands += 1;
      const isLast = source === 'command' ? commands <= keptCommands : !sources.has(source);
      sources.add(source);
      return isLast || !isEnded;
    });
  }
}

function summarize({ images, platforms: _platforms, ...report }: WarmReport): WarmSummary {
  const results = { held: 0, fetched: 0, failed: 0, skipped: 0, waiting: 0 };
  for (const { result } of images) results[result] += 1;
  const failures = images
    .filter(({ result }) => result === 'failed')
    .slice(0, shownFailures)
    .map(({ image, reason }) => ({ image, reason }));
  return { ...report, images: images.length, results, failures };
}

function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}
