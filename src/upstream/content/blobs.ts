/**
 * Blobs of one upstream (OCI distribution-spec end-2): whether one is there, and transfers of all or a part of it.
 * Every opening asks the registry anew, so that a signed URL is always a fresh one.
 */

import { Limit } from '../../lib/limit.ts';
import type { Digest } from '../../oci/digest.ts';
import { buildEndpoint, parseEndpoint } from '../../oci/endpoint.ts';
import type { Repository } from '../../oci/name.ts';
import { type ByteRange, formatRange } from '../../oci/range.ts';
import type { OpenedSource } from '../../registry/registry.ts';
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Observer } from '../../telemetry/observer.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Operations } from '../request/operations.ts';
import { isRedirect } from '../request/redirect.ts';
import type { Question, Reply } from '../request/request-kind.ts';
import type { Requester } from '../request/requester.ts';
import { drain } from '../transport/body.ts';
import { headerOf, type Transport } from '../transport/transport.ts';
import { type Extent, extentOf, lengthOf, streamBody } from './transfer.ts';

export interface BlobsOptions {
  readonly key: string;
  readonly requester: Requester;
  readonly operations: Operations;
  readonly transport: Transport;
  readonly maxTransfers: number;
  readonly observer: Observer;
}

export interface OpenOptions {
  readonly signal: AbortSignal;
  /** Nobody waits for it: it may queue, and its budget starts when it leaves the queue. */
  readonly background?: boolean;
  /** See `Operation.budgetMs`. */
  readonly budgetMs?: number | undefined;
  /** See `Question.ignoreBreaker`. */
  readonly ignoreBreaker?: boolean;
  /** See `OpenedSource.target`. */
  readonly target?: URL | undefined;
}

export interface OpenedTransfer extends OpenedSource {
  /** One past the last byte that the stream gives; undefined: until it ends. */
  readonly end: number | undefined;
  /** The source gave the range (206), not the whole. */
  readonly isPartial: boolean;
}

/** The source has no such bytes (416); `size` of the whole, if it said so. */
export class UnsatisfiableRange extends UpstreamError {
  constructor(upstream: string, message: string, size: number | undefined) {
    const known = size === undefined ? {} : { size };
    super({ upstream, kind: 'blob', failure: 'range', message, upstreamStatus: 416, ...known });
  }
}

export class Blobs {
  readonly #options: BlobsOptions;
  /** An eighth of the connections, so that live transfers never queue behind transfers that no client waits for. */
  readonly #backgroundLimit: Limit;

  constructor(options: BlobsOptions) {
    this.#options = options;
    this.#backgroundLimit = new Limit({ maxRunning: Math.max(1, Math.floor(options.maxTransfers / 8)) });
  }

  /** HEAD. The size; undefined when a redirect to a store proves the blob's existence. Errors: `UpstreamError`. */
  stat(
    repository: Repository,
    digest: Digest,
    { signal, budgetMs }: Pick<OpenOptions, 'signal' | 'budgetMs'>,
  ): Promise<number | undefined> {
    return this.#options.operations.run(
      { kind: 'blob', subject: `${repository} ${digest}`, signal, budgetMs },
      async budget => {
        const question: Question = {
          ...this.#question('HEAD', repository, digest),
          lane: 'control',
          accepts: isRedirect,
          follows: isRegistry,
        };
        const reply = await this.#options.requester.ask(question, budget);
        drain(reply.body);
        return isRedirect(reply.status) ? undefined : lengthOf(reply);
      },
    );
  }

  /** GET of all or of one range. Errors: `UpstreamError`, of it `UnsatisfiableRange`; the signal's reason. */
  async open(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: OpenOptions,
  ): Promise<OpenedTransfer> {
    const { signal, budgetMs, ignoreBreaker = false, target } = options;
    const giveBack = options.background === true ? await this.#backgroundLimit.acquire(signal) : undefined;
    const operation = {
      kind: 'blob',
      subject: `${repository} ${digest}`,
      signal,
      budgetMs,
      ignoreBreaker,
      keepsBudget: true,
    } as const;
    try {
      return await this.#options.operations.run(operation, async budget => {
        const question: Question = {
          ...this.#question('GET', repository, digest),
          lane: 'transfer',
          headers: range === undefined ? {} : { range: formatRange(range) },
          accepts: status => status === 416,
          ignoreBreaker,
          target,
        };
        const reply = await this.#options.requester.ask(question, budget);
        const extent = this.#promised(reply, range, digest);
        budget.settle();
        reply.body.once('close', () => {
          budget.dispose();
          giveBack?.();
        });
        return {
          ...extent,
          isPartial: reply.status === 206,
          ...(reply.isOwnHost ? {} : { target: reply.url }),
          stream: this.#stream(reply, extent, digest, budget),
        };
      });
    } catch (error) {
      giveBack?.();
      throw error;
    }
  }

  #question(method: 'GET' | 'HEAD', repository: Repository, digest: Digest): Omit<Question, 'lane'> {
    return {
      kind: 'blob',
      method,
      path: buildEndpoint({ kind: 'blob', name: repository, digest }),
      repository,
    };
  }

  #promised(reply: Reply, range: ByteRange | undefined, digest: Digest): Extent {
    const { key } = this.#options;
    const extent = reply.status === 416 ? undefined : extentOf(reply, range);
    if (extent !== undefined) return extent;
    drain(reply.body);
    const asked = range === undefined ? 'the whole' : formatRange(range);
    const got = headerOf(reply.headers, 'content-range') ?? 'no Content-Range';
    const message = `expected ${asked} of ${digest}, got ${reply.status} with ${got}`;
    if (reply.status !== 416) throw this.#error('range', message);
    const size = /^bytes \*\/(\d{1,15})$/i.exec(got)?.[1];
    throw new UnsatisfiableRange(key, message, size === undefined ? undefined : Number(size));
  }

  #stream(reply: Reply, extent: Extent, digest: Digest, budget: Deadline): AsyncIterable<Buffer> {
    const { key, observer, transport } = this.#options;
    return streamBody(reply.body, {
      extent,
      onBytes: count => observer.upstreamBytes(key, count),
      explain: error => {
        if (budget.signal.aborted) return budget.signal.reason;
        return this.#error(
          'unreachable',
          `the transfer of ${digest} broke off: ${transport.explain(error).message}`,
        );
      },
    });
  }

  #error(failure: UpstreamFailure, message: string): UpstreamError {
    return new UpstreamError({ upstream: this.#options.key, kind: 'blob', failure, message });
  }
}

/**
 * Some registries (registry.k8s.io) send every question on to another registry, whether the blob exists or not: only a
 * redirect to a store proves anything, one to a registry's own endpoint is followed.
 */
function isRegistry(target: URL): boolean {
  try {
    return parseEndpoint('GET', target.pathname).endpoint.kind === 'blob';
  } catch {
    return false;
  }
}
