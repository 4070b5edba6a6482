/**
 * The health of one upstream that has several URLs, told as one: it is away when all of them are, and rests when all do.
 * What each is like, and which is asked, is each one's own business.
 */
import type { OriginHealth } from '../../registry/origin.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { HealthObserver } from './health.ts';

export class UrlHealth implements OriginHealth {
  readonly #key: string;
  readonly #observer: HealthObserver;
  readonly #up: (boolean | undefined)[];
  readonly #open: boolean[];
  #members: readonly OriginHealth[] = [];

  constructor(key: string, observer: HealthObserver, count: number) {
    this.#key = key;
    this.#observer = observer;
    this.#up = Array.from({ length: count }, () => undefined);
    this.#open = Array.from({ length: count }, () => false);
  }

  /** In the order of the URLs. */
  watch(members: readonly OriginHealth[]): void {
    this.#members = members;
  }

  /** What the URL at `index` tells about itself becomes what is told of the upstream. */
  observerOf(index: number): HealthObserver {
    return {
      upstreamRateLimit: (key, limit) => this.#observer.upstreamRateLimit(key, limit),
      upstreamUp: (_key, isUp) => {
        this.#up[index] = isUp;
        if (isUp || this.#up.every(up => up === false)) this.#observer.upstreamUp(this.#key, isUp);
      },
      breakerOpen: (_key, isOpen) => {
        const wasAway = this.#open.every(Boolean);
        this.#open[index] = isOpen;
        const isAway = this.#open.every(Boolean);
        if (isAway !== wasAway) this.#observer.breakerOpen(this.#key, isAway);
      },
    };
  }

  get away(): boolean {
    return this.#members.every(member => member.away);
  }

  /** Of the URL that would be asked. */
  get quotaLow(): boolean {
    return this.#members.find(member => !member.away)?.quotaLow ?? false;
  }

  /** Of those that are not away: until the first of them may be asked again. */
  pausedUntil(kind: Kind): number | undefined {
    const untils = this.#members.filter(member => !member.away).map(member => member.pausedUntil(kind));
    const known = untils.filter(until => until !== undefined);
    return known.length === 0 || known.length < untils.length ? undefined : Math.min(...known);
  }
}
