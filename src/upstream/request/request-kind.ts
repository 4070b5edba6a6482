/** What is asked of the registry, what comes back, and where the asking has got to. */
import type { Repository } from '../../oci/name.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { HopAnswer, Method } from '../transport/transport.ts';

export interface Question {
  readonly kind: Kind;
  readonly method: Method;
  /** As `buildEndpoint` gives it. */
  readonly path: string;
  readonly repository: Repository;
  /** Asked there at once: where a redirect led before. */
  readonly target?: URL | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly lane: 'control' | 'transfer';
  /** Statuses beside 2xx that the caller wants to see; others become errors. */
  accepts?(status: number): boolean;
  /** Whether to follow a redirect there; absent: always. */
  follows?(target: URL): boolean;
  /** Part of a transfer that has given bytes: it has a backoff of its own, and asks a host that is away too. */
  readonly ignoreBreaker?: boolean;
}

export interface Reply extends HopAnswer {
  /** Where the answer came from in the end. */
  readonly url: URL;
  readonly isOwnHost: boolean;
}

/** What the operation is waiting for: decides whose fault a failure is. */
export interface Trip {
  retriesLeft: number;
  hop:
    | { readonly host: string; readonly isOwnHost: boolean; readonly answers: number; readonly atMs: number }
    | undefined;
}
