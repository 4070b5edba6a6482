/**
 * A pull that has been located: what its handler gets beside the endpoint. Made by `pull.ts` for one request; the signal
 * in `options` ends with the client.
 */
import type { Located } from '../../registry/directory.ts';
import type { ReadOptions } from '../../registry/registry.ts';
import type { AppContext } from '../exchange.ts';

export interface PullRequest {
  readonly context: AppContext;
  readonly located: Located;
  readonly options: ReadOptions;
  /** As the client sent it, decoded. */
  readonly ns: string | undefined;
  readonly query: URLSearchParams;
  /** Since the epoch. */
  readonly nowMs: number;
}
