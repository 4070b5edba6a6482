/**
 * Asks a token realm. Many callers may wait for one such request, so it has a time of its own; a realm that gives no
 * answer is left alone for a while, or every object of a pull would wait for it again. Its trouble is not the
 * registry's: no breaker hears of it.
 */

import { type Timers, wait } from '../../lib/timers.ts';
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Health } from '../health/health.ts';
import { Deadline } from '../request/deadline.ts';
import { failAs, type RecentFailures } from '../request/recent-failures.ts';
import { isTransient, retryDelayMs, slowMs } from '../request/retry.ts';
import { BodyTooLarge, drain, readBody, readComplaint } from '../transport/body.ts';
import { DialRefusal, hostAndPort } from '../transport/dial.ts';
import { type HopAnswer, headerOf, type Transport, TransportError } from '../transport/transport.ts';
import type { TokenOptions } from './token-source.ts';

export interface RealmClientOptions {
  readonly key: string;
  readonly transport: Transport;
  readonly health: Health;
  readonly failures: RecentFailures;
  readonly timers: Timers;
  readonly budgetMs: number;
  now(): number;
}

const maxBytes = 64 * 1024;
/** Nobody's: a token request ends by its own budget. */
const nobody = new AbortController().signal;

export function createRealmClient(options: RealmClientOptions): TokenOptions['ask'] {
  const { key, health, failures } = options;
  const fail = (
    failure: UpstreamFailure,
    message: string,
    rest: { upstreamStatus?: number; retryAfterMs?: number } = {},
  ) => new UpstreamError({ upstream: key, kind: 'token', failure, message, ...rest });

  return async (url, headers) => {
    const memory = `realm ${hostAndPort(url)}${url.pathname}`;
    const failed = failures.recall(memory);
    if (failed !== undefined) throw failAs('token', failed, ' (a moment ago)');
    if (health.pausedUntil('token') !== undefined)
      throw fail('paused', `not asked: ${url.host} asked for a pause`);
    const startedMs = options.now();
    const budget = new Deadline({
      budgetMs: options.budgetMs,
      timers: options.timers,
      caller: nobody,
      expired: () =>
        fail('timeout', `expected a token of ${url.host} within ${options.budgetMs} ms, got nothing`),
    });
    try {
      const answer = await askTwice(options, url, headers, budget);
      const { status } = answer;
      if (status === 200) return { status, bytes: await readBody(answer, maxBytes), complaint: '' };
      const retryAfterMs =
        status === 429 ? health.limited('token', headerOf(answer.headers, 'retry-after')) : undefined;
      const complaint = await readComplaint(answer);
      const message = `expected a token of ${url.host}, got ${status}${complaint}`;
      if (retryAfterMs !== undefined)
        throw fail('limited', message, { upstreamStatus: status, retryAfterMs });
      if (status >= 500) throw fail('status', message, { upstreamStatus: status });
      return { status, bytes: Buffer.alloc(0), complaint };
    } catch (error) {
      const failure = explain(error, budget);
      const isSilent = budget.signal.aborted || options.now() - startedMs >= slowMs;
      if (isSilent) failures.remember(memory, failure); // a quick no costs nobody time
      throw failure;
    } finally {
      budget.dispose();
    }
  };

  function explain(error: unknown, budget: Deadline): unknown {
    if (budget.signal.aborted) return budget.signal.reason;
    if (error instanceof DialRefusal) return fail('blocked', error.message);
    if (error instanceof BodyTooLarge) return fail('status', `${error.message} for a token`);
    return error instanceof UpstreamError
      ? error
      : fail('unreachable', options.transport.explain(error).message);
  }
}

async function askTwice(
  options: RealmClientOptions,
  url: URL,
  headers: Readonly<Record<string, string>>,
  budget: Deadline,
): Promise<HopAnswer> {
  const { signal } = budget;
  const hop = { url, method: 'GET', kind: 'token', lane: 'control', headers, signal } as const;
  try {
    const answer = await options.transport.send(hop);
    if (!isTransient(answer.status)) return answer;
    drain(answer.body);
  } catch (error) {
    if (!(error instanceof TransportError) || !error.reused) throw error;
  }
  await wait(options.timers, retryDelayMs, signal);
  return await options.transport.send(hop);
}
