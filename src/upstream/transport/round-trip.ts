/**
 * How far an upstream is away: the shortest of the last times between a request and its answer. The shortest is nearest to
 * the line's own time; what connecting, a token check or a busy server add is in the others. This machine itself is no
 * distance, however busy it is.
 */
import { classifyHost } from './address.ts';

const keptSamples = 8;
const neededSamples = 2;

export class RoundTrip {
  readonly #samples: number[] = [];

  /** An answer of that host began after so many milliseconds. */
  add(url: URL, ms: number): void {
    this.#samples.push(classifyHost(url.hostname) === 'loopback' ? 0 : ms);
    if (this.#samples.length > keptSamples) this.#samples.shift();
  }

  /** Milliseconds; undefined: too few answers yet. */
  get shortestMs(): number | undefined {
    return this.#samples.length < neededSamples ? undefined : Math.min(...this.#samples);
  }
}
