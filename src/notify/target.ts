/**
 * One target of notifications: what it wants to hear of, its spool, and the loop that sends one event after the other. An
 * event that the target doesn't take is sent again after a pause, and those after it wait: the order is kept. Nothing here
 * delays or fails a request.
 */
import { ExpiringMap } from '../lib/expiring-map.ts';
import { Notifier, type Timers, wait, waitFor } from '../lib/wait.ts';
import { Spool, type SpoolLimits } from '../store/spool/spool.ts';
import type { StoreObserver } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { RegistryEvent } from '../telemetry/registry-events.ts';
import { type EnvelopeOptions, formatEnvelope, type Notification, toNotifications } from './envelope.ts';
import type { Webhook } from './webhook.ts';

export type NotifiedAction = 'push' | 'pull' | 'delete';
/** `failed`: one attempt. `dropped`: it was never taken, and is not sent any more. */
export type NotificationResult = 'delivered' | 'failed' | 'dropped';

export interface TargetOptions {
  readonly name: string;
  readonly events: readonly NotifiedAction[];
  /** Over canonical names. */
  matches(repository: string): boolean;
  readonly folder: string;
  /** Another target that had this folder has closed it. Never rejects. */
  readonly spoolIsFree?: Promise<void>;
  readonly limits: SpoolLimits;
  readonly webhook: Pick<Webhook, 'send' | 'close'>;
  readonly envelope: EnvelopeOptions;
  readonly observer: StoreObserver;
  readonly logger: Logger;
  onResult(result: NotificationResult, count: number): void;
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  now(): number;
  /** 0 … 1 */
  random(): number;
}

const firstPauseMs = 1000;
const longestPauseMs = 5 * 60_000;
const lastAnswerMs = 1000;
/** One pull of an image by one client within it. */
const samePullMs = 60_000;
const maxRememberedPulls = 10_000;

export class NotificationTarget {
  readonly #options: TargetOptions;
  readonly #pulls: ExpiringMap<string, true>;
  /** Came before the spool was open; bounded as the spool is. */
  #early: Notification[] = [];
  #spool: Spool | undefined;
  readonly #changed = new Notifier();
  /** Ends waits and pauses; `#sending` ends a request. */
  readonly #closing = new AbortController();
  readonly #sending = new AbortController();
  readonly #replays: ((waiting: Promise<number>) => void)[] = [];
  /** Between two attempts: ends the pause. */
  #pausing: AbortController | undefined;
  #isDropping = false;
  readonly #running: Promise<void>;

  constructor(options: TargetOptions) {
    this.#options = options;
    this.#pulls = new ExpiringMap({
      maxEntries: maxRememberedPulls,
      ttlMs: samePullMs,
      now: () => options.now(),
    });
    this.#running = this.#run();
  }

  get wantsPulls(): boolean {
    return this.#options.events.includes('pull');
  }

  /** Never throws. */
  happened(event: RegistryEvent): void {
    const { events, envelope } = this.#options;
    if (!events.includes(actionOf(event)) || !this.#options.matches(event.repository)) return;
    if (event.type === 'manifest-pulled' && !this.#rememberPull(event)) return;
    for (const notification of toNotifications(event, envelope)) {
      if (this.#spool !== undefined) this.#spool.append(notification);
      else this.#keepEarly(notification);
    }
    this.#changed.ring();
  }

  /** Sends all that is kept again, now. Gives their count, with those that were not sent yet. Errors: `StoreError`; closed. */
  async replay(): Promise<number> {
    this.#closing.signal.throwIfAborted();
    const waiting = new Promise<number>(resolve => this.#replays.push(resolve));
    this.#pausing?.abort();
    this.#changed.ring();
    return waiting;
  }

  /** What was not sent stays in the spool. A request that runs has a moment to end, so that it isn't sent twice. */
  async close(): Promise<void> {
    const closed = new Error(`notifications to ${this.#options.name} are closed`);
    this.#closing.abort(closed);
    this.#pausing?.abort();
    const withdraw = this.#options.timers.after(lastAnswerMs, () => this.#sending.abort(closed));
    await this.#running;
    withdraw();
    this.#options.webhook.close();
    await this.#spool?.flush().catch(error => this.#warn('cannot keep notifications, the disk fails', error));
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      const change = this.#changed.next();
      try {
        const isSent = await this.#sendNext();
        if (isSent && failures > 0)
          this.#options.logger.info('notifications are sent again', { target: this.#options.name });
        failures = 0;
        if (!isSent) await waitFor(change.changed, signal);
      } catch (error) {
        if (signal.aborted) break;
        failures += 1;
        await this.#pause(failures, error);
      } finally {
        change.cancel();
      }
    }
    for (const answer of this.#replays.splice(0)) answer(Promise.reject(signal.reason));
  }

  /** False: there is nothing to send. Errors: those of the webhook and of the spool. */
  async #sendNext(): Promise<boolean> {
    const spool = await this.#openSpool();
    for (const answer of this.#replays.splice(0)) {
      const rewound = spool.rewind();
      answer(rewound);
      await rewound;
    }
    const entry = await spool.take();
    if (entry === undefined) return false;
    try {
      await this.#options.webhook.send(formatEnvelope([entry.value]), this.#sending.signal);
    } catch (error) {
      if (!this.#sending.signal.aborted) this.#options.onResult('failed', 1);
      throw error;
    }
    this.#options.onResult('delivered', 1);
    this.#isDropping = false;
    await spool.done(entry);
    return true;
  }

  /** Until the next attempt. */
  async #pause(failures: number, error: unknown): Promise<void> {
    const { timers, random } = this.#options;
    if (this.#replays.length > 0) return;
    if (failures === 1) this.#warn('cannot send notifications now, trying again', error);
    this.#pausing = new AbortController();
    const pauseMs = pauseAfter(failures, random());
    await wait(timers, pauseMs, this.#pausing.signal).catch(() => undefined); // ended early
    this.#pausing = undefined;
  }

  async #openSpool(): Promise<Spool> {
    if (this.#spool !== undefined) return this.#spool;
    const { folder, limits, observer, now, spoolIsFree } = this.#options;
    await spoolIsFree;
    const spool = await Spool.open({ folder, limits, observer, now, onLost: count => this.#lost(count) });
    this.#spool = spool;
    for (const notification of this.#early) spool.append(notification);
    this.#early = [];
    return spool;
  }

  #keepEarly(notification: Notification): void {
    this.#early.push(notification);
    if (this.#early.length <= this.#options.limits.entries) return;
    this.#early.shift();
    this.#lost(1);
  }

  #lost(count: number): void {
    this.#options.onResult('dropped', count);
    if (this.#isDropping) return;
    this.#isDropping = true;
    const { name, logger } = this.#options;
    logger.warn('notifications are dropped, the oldest first', { target: name });
  }

  /** False: the same client pulled the same manifest a moment ago. */
  #rememberPull(event: RegistryEvent & { readonly type: 'manifest-pulled' }): boolean {
    const key = `${event.origin.address ?? ''} ${event.repository}@${event.descriptor.digest}`;
    if (this.#pulls.has(key)) return false;
    this.#pulls.set(key, true);
    return true;
  }

  #warn(message: string, error: unknown): void {
    this.#options.logger.warn(message, { target: this.#options.name, error });
  }
}

/** The n-th pause in a row: twice as long each time, give or take a quarter. */
function pauseAfter(failures: number, random: number): number {
  const pauseMs = firstPauseMs * 2 ** Math.min(failures - 1, 20) * (0.75 + random / 2);
  return Math.min(Math.max(pauseMs, firstPauseMs), longestPauseMs);
}

function actionOf({ type }: RegistryEvent): NotifiedAction {
  switch (type) {
    case 'manifest-pulled':
      return 'pull';
    case 'manifest-deleted':
    case 'tag-deleted':
    case 'blob-deleted':
      return 'delete';
    default:
      return 'push';
  }
}
