/**
 * Who uses up the pull limit: pulls, bytes and counted upstream requests per client address for the last hour and the last
 * day. Addresses are no metric labels, so this is beside the metrics; the least recently seen of 1000 clients goes.
 */
import type { RequestEnd } from '../telemetry/observer.ts';

export interface Usage {
  /** GETs of manifests that were answered. */
  readonly pulls: number;
  /** Body bytes. */
  readonly bytes: number;
  /** Manifests that an upstream was asked for on this client's behalf: what Docker Hub counts. */
  readonly upstreamCounted: number;
}

export interface ClientReport {
  readonly address: string;
  readonly hour: Usage;
  readonly day: Usage;
}

const maxClients = 1000;
const minuteMs = 60_000;

export class ClientUsage {
  readonly #now: () => number;
  /** In the order of their last request. */
  readonly #clients = new Map<string, { readonly hour: Window; readonly day: Window }>();

  /** `now`: milliseconds since the epoch. */
  constructor(now: () => number) {
    this.#now = now;
  }

  note(address: string, { kind, method, status, outcome, bytes }: RequestEnd): void {
    const isPull = kind === 'manifest' && method === 'GET' && status < 400;
    if (!isPull && bytes === 0) return;
    const known = this.#clients.get(address);
    const client = known ?? { hour: new Window(5 * minuteMs, 12), day: new Window(60 * minuteMs, 24) };
    if (known !== undefined) this.#clients.delete(address);
    else if (this.#clients.size >= maxClients) this.#forgetOldest();
    this.#clients.set(address, client);
    const isCounted = isPull && (outcome === 'miss' || outcome === 'passthrough');
    const usage = { pulls: isPull ? 1 : 0, bytes, upstreamCounted: isCounted ? 1 : 0 };
    for (const window of [client.hour, client.day]) window.add(usage, this.#now());
  }

  /** Those of the last day; first who cost most upstream requests, then who pulled most. */
  report(): readonly ClientReport[] {
    const nowMs = this.#now();
    return Array.from(this.#clients, ([address, { hour, day }]) => ({
      address,
      hour: hour.sum(nowMs),
      day: day.sum(nowMs),
    }))
      .filter(({ day }) => day.pulls > 0 || day.bytes > 0)
      .sort(
        ({ day: one }, { day: other }) =>
          other.upstreamCounted - one.upstreamCounted || other.pulls - one.pulls || other.bytes - one.bytes,
      );
  }

  #forgetOldest(): void {
    const [oldest] = this.#clients.keys();
    if (oldest !== undefined) this.#clients.delete(oldest);
  }
}

/** A sum over the last `count` slices of time. A slice that is overwritten has left the window. */
class Window {
  readonly #sliceMs: number;
  readonly #count: number;
  readonly #slices: { at: number; usage: Usage }[] = [];

  constructor(sliceMs: number, count: number) {
    this.#sliceMs = sliceMs;
    this.#count = count;
  }

  add(usage: Usage, nowMs: number): void {
    const at = Math.floor(nowMs / this.#sliceMs);
    const last = this.#slices.at(-1);
    if (last?.at === at) last.usage = plus(last.usage, usage);
    else this.#slices.push({ at, usage });
    if (this.#slices.length > this.#count) this.#slices.shift();
  }

  sum(nowMs: number): Usage {
    const from = Math.floor(nowMs / this.#sliceMs) - this.#count;
    return this.#slices
      .filter(({ at }) => at > from)
      .reduce((sum, { usage }) => plus(sum, usage), { pulls: 0, bytes: 0, upstreamCounted: 0 });
  }
}

function plus(one: Usage, other: Usage): Usage {
  return {
    pulls: one.pulls + other.pulls,
    bytes: one.bytes + other.bytes,
    upstreamCounted: one.upstreamCounted + other.upstreamCounted,
  };
}
