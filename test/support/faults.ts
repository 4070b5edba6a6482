/**
 * What the fake upstream can do wrong, and to which requests. A `Fault` is a plain object; the functions below name the
 * usual ones, and `{ ...flip(10), ...drip(100, 5) }` does both. Counts of bytes are bytes of that answer's body (so
 * of a ranged answer from its own start), only `flip` counts from the start of the content. What lies beyond the end of a
 * body never happens.
 *
 * Faults are for requests that passed authentication. A fault of the body alone is not used up by answers without a
 * body (HEAD, a redirect): with redirected blobs it strikes at the storage host, all others at the registry,
 * unless the match names a host.
 */
import type { Gate } from './gates.ts';
import type { HostRole, RequestKind } from './request-log.ts';

export interface Fault {
  /** Before anything is answered. */
  readonly delayMs?: number;
  readonly headersGate?: Gate;
  readonly hangUp?: Ending;
  /** Instead of the right answer. */
  readonly status?: number;
  readonly statusBody?: string;
  /** On whatever is answered: set, or with undefined taken away. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly ignoreRange?: boolean;
  /** The body. */
  readonly replaceWith?: Buffer;
  readonly flipAt?: number;
  readonly truncateTo?: number;
  readonly extendBy?: number;
  readonly hugeBytes?: number;
  readonly declaredLength?: number;
  readonly stallAfter?: number;
  readonly stallGate?: Gate;
  readonly cutAfter?: number;
  readonly cutBy?: Ending;
  readonly dripBytes?: number;
  readonly dripEveryMs?: number;
}

/** How a connection ends: in order (FIN), or by a reset (RST). */
export type Ending = 'fin' | 'reset';

export interface RequestMatch {
  readonly kind?: RequestKind;
  readonly method?: 'GET' | 'HEAD';
  readonly repository?: string;
  /** Tag or digest as in the URL. */
  readonly reference?: string;
  /** The same for a digest. */
  readonly digest?: string;
  readonly host?: HostRole;
}

export interface FaultOptions {
  /** From the nth matching request on, beginning with 1. Default 1. */
  readonly nth?: number;
  /** For that many requests. Default 1. */
  readonly times?: number | 'always';
}

/** The body ends after n bytes although more was promised. */
export const cut = (afterBytes: number): Fault => ({ cutAfter: afterBytes, cutBy: 'fin' });
/** The same by RST. The n bytes have left for the peer before, as long as it reads. */
export const reset = (afterBytes: number): Fault => ({ cutAfter: afterBytes, cutBy: 'reset' });
/** Nothing comes after n bytes; for ever, or until the gate opens. */
export const stall = (afterBytes: number, gate?: Gate): Fault =>
  gate === undefined ? { stallAfter: afterBytes } : { stallAfter: afterBytes, stallGate: gate };
/** n bytes each t ms. */
export const drip = (bytes: number, everyMs: number): Fault => ({ dripBytes: bytes, dripEveryMs: everyMs });
/** One bit of the byte at this offset of the content is wrong, in every answer that holds it. */
export const flip = (atOffset: number): Fault => ({ flipAt: atOffset });
/** Other bytes altogether, with their own honest length. */
export const replaceBody = (bytes: Buffer | string): Fault => ({ replaceWith: Buffer.from(bytes) });
/** Only the first n bytes, as if they were all: Content-Length says n. */
export const truncate = (toBytes: number): Fault => ({ truncateTo: toBytes });
/** n more bytes than there are, and Content-Length counts them. */
export const extend = (byBytes: number): Fault => ({ extendBy: byBytes });
/** n pseudo-random bytes instead of the content. */
export const hugeBody = (bytes: number): Fault => ({ hugeBytes: bytes });
/** Content-Length lies; the true body is sent all the same (also beyond it), then FIN. */
export const declareLength = (bytes: number): Fault => ({ declaredLength: bytes });
/** 200 and everything, whatever Range was asked. */
export const ignoreRange = (): Fault => ({ ignoreRange: true });
/** This status with a registry's error body (or the given one). */
export const answer = (status: number, headers: Record<string, string> = {}, body?: string): Fault =>
  body === undefined ? { status, headers } : { status, headers, statusBody: body };
/** Nothing is answered for so many ms, or until the gate opens; then the right answer. */
export const slowHeaders = (delay: number | Gate): Fault =>
  typeof delay === 'number' ? { delayMs: delay } : { headersGate: delay };
/** The connection ends before any byte of an answer. */
export const hangUp = (by: Ending = 'fin'): Fault => ({ hangUp: by });
export const redirectTo = (url: string, status = 307): Fault => ({
  status,
  headers: { Location: url },
  statusBody: '',
});
/** The true content under a wrong Docker-Content-Digest. */
export const claimDigest = (digest: string): Fault => ({ headers: { 'Docker-Content-Digest': digest } });
/** Any other header set, or with undefined taken away. */
export const changeHeaders = (headers: Record<string, string | undefined>): Fault => ({ headers });

/** What a request must look like for a rule; made by the hosts. */
export interface FaultSubject {
  readonly host: HostRole;
  readonly kind: RequestKind;
  readonly method: string;
  readonly repository?: string;
  readonly reference?: string;
  /** False for HEAD and for a request that will be redirected. */
  readonly hasBody: boolean;
}

/** One injected fault; `used` counts the requests it has struck. */
export interface FaultRule {
  readonly used: number;
  remove(): void;
}

interface OpenRule {
  readonly match: RequestMatch;
  readonly fault: Fault;
  readonly nth: number;
  readonly times: number;
  seen: number;
  used: number;
}

/** The rules in the order they were added; the first that fits strikes, alone. */
export class FaultTable {
  readonly #rules = new Set<OpenRule>();

  add(match: RequestMatch, fault: Fault, options: FaultOptions = {}): FaultRule {
    const times = options.times ?? 1;
    const rule = {
      match,
      fault,
      nth: options.nth ?? 1,
      times: times === 'always' ? Infinity : times,
      seen: 0,
      used: 0,
    };
    this.#rules.add(rule);
    return {
      get used() {
        return rule.used;
      },
      remove: () => void this.#rules.delete(rule),
    };
  }

  /** Each rule that fits counts the request, also when another one strikes. */
  take(subject: FaultSubject): Fault | undefined {
    let chosen: OpenRule | undefined;
    for (const rule of this.#rules) {
      if (!fits(rule, subject)) continue;
      rule.seen += 1;
      if (chosen === undefined && rule.seen >= rule.nth && rule.used < rule.times) chosen = rule;
    }
    if (chosen === undefined) return undefined;
    chosen.used += 1;
    return chosen.fault;
  }

  clear(): void {
    this.#rules.clear();
  }
}

const bodyFields = [
  'ignoreRange',
  'replaceWith',
  'flipAt',
  'truncateTo',
  'extendBy',
  'hugeBytes',
  'declaredLength',
  'stallAfter',
  'cutAfter',
  'dripBytes',
] as const;

function fits({ match, fault }: OpenRule, subject: FaultSubject): boolean {
  const ofBody = bodyFields.some(field => fault[field] !== undefined);
  if (ofBody && !subject.hasBody) return false;
  if (match.host !== undefined ? match.host !== subject.host : !ofBody && subject.host === 'storage')
    return false;
  return (
    (match.kind ?? subject.kind) === subject.kind &&
    (match.method ?? subject.method) === subject.method &&
    (match.repository ?? subject.repository) === subject.repository &&
    (match.reference ?? subject.reference) === subject.reference &&
    (match.digest ?? subject.reference) === subject.reference
  );
}
