/** The breaker's own question to the upstream: the API's root (OCI distribution-spec end-1), without credentials. */

import type { Timers } from '../../lib/timers.ts';
import { Deadline } from '../request/deadline.ts';
import { drain } from '../transport/body.ts';
import type { Transport } from '../transport/transport.ts';

export interface ProbeOptions {
  readonly transport: Transport;
  readonly url: URL;
  readonly timers: Timers;
  readonly budgetMs: number;
}

const nobody = new AbortController().signal;

/** The status; undefined when there was no answer (the observer has seen that hop). Never rejects. */
export async function probe(options: ProbeOptions): Promise<number | undefined> {
  const { transport, url, timers, budgetMs } = options;
  const expired = (): Error => new Error(`expected an answer to a probe within ${budgetMs} ms, got none`);
  const budget = new Deadline({ budgetMs, timers, caller: nobody, expired });
  const { signal } = budget;
  try {
    const answer = await transport.send({
      url,
      method: 'GET',
      kind: 'ping',
      headers: {},
      lane: 'control',
      signal,
    });
    drain(answer.body);
    return answer.status;
  } catch {
    return undefined;
  } finally {
    budget.dispose();
  }
}
