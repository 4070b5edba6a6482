/**
 * The fleet's secret at work: requests that prove to another node that this one belongs to the fleet, and values in Redis that only a node of
 * the fleet can have written. Each has a key of its own, derived from the secret, so that one signature never helps to forge the other.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export interface SignedRequest {
  readonly method: string;
  /** The raw request target, with its query. */
  readonly target: string;
  /** The `Range` header, if any. */
  readonly range: string | undefined;
}

export interface RequestSignaturesOptions {
  /** The fleet's. */
  readonly secret: string;
  /** This node. */
  readonly node: string;
  /** Milliseconds since the epoch. */
  now(): number;
}

const scheme = 'Cistern-Fleet';
const requestPattern =
  /^Cistern-Fleet from=([a-f0-9]{16}), time=(\d{1,15}), nonce=([\w-]{22}), mac=([\w-]{43})$/;
const toleranceMs = 60_000;
/** Only requests with a good MAC are remembered: far more than a fleet sends in two minutes. */
const maxNonces = 200_000;

/**
 * `Authorization: Cistern-Fleet from=…, time=…, nonce=…, mac=…`: a MAC over the request line, the range, both nodes, the time and a nonce.
 * Each request is good for one node, once, within a minute of that node's clock. Bodies aren't signed: their digest is in the path.
 */
export class RequestSignatures {
  readonly #options: RequestSignaturesOptions;
  readonly #key: Buffer;
  /** Until when each nonce counts as used, that moment included, in the order of their arrival. */
  readonly #used = new Map<string, number>();

  constructor(options: RequestSignaturesOptions) {
    this.#options = options;
    this.#key = deriveKey(options.secret, 'requests');
  }

  /** The value of `Authorization` for a request to the node `to`. */
  sign(request: SignedRequest, to: string): string {
    const { node, now } = this.#options;
    const time = String(now());
    const nonce = randomBytes(16).toString('base64url');
    const mac = this.#mac(request, [node, to, time, nonce]).toString('base64url');
    return `${scheme} from=${node}, time=${time}, nonce=${nonce}, mac=${mac}`;
  }

  /** The node that asks; undefined: the request isn't one of this fleet's, is old, or came before. */
  verify(request: SignedRequest, authorization: string | undefined): string | undefined {
    const { node, now } = this.#options;
    const [, from = '', time = '', nonce = '', given = ''] = requestPattern.exec(authorization ?? '') ?? [];
    const mac = this.#mac(request, [from, node, time, nonce]);
    if (from === '' || !timingSafeEqual(mac, Buffer.from(given, 'base64url'))) return undefined;
    if (Math.abs(now() - Number(time)) > toleranceMs) return undefined;
    return this.#use(nonce) ? from : undefined;
  }

  /** As JSON, so that parts can't be shifted against each other. */
  #mac({ method, target, range }: SignedRequest, more: readonly string[]): Buffer {
    const parts = [method, target, range ?? '', ...more];
    return createHmac('sha256', this.#key).update(JSON.stringify(parts)).digest();
  }

  /** False: it was used before. */
  #use(nonce: string): boolean {
    const now = this.#options.now();
    for (const [old, until] of this.#used) {
      if (until >= now && this.#used.size < maxNonces) break;
      this.#used.delete(old);
    }
    if (this.#used.has(nonce)) return false;
    this.#used.set(nonce, now + 2 * toleranceMs);
    return true;
  }
}

const valuePattern = /^([A-Za-z0-9_-]{43})\.(.*)$/s;

/** `MAC.TEXT`: a text for one purpose, and the MAC over both. */
export class SignedValues {
  readonly #key: Buffer;

  /** `secret`: the fleet's. */
  constructor(secret: string) {
    this.#key = deriveKey(secret, 'values in Redis');
  }

  /** `purpose` names where the value belongs (`tag:docker.io/library/alpine:3`): for another purpose it isn't valid. */
  sign(purpose: string, text: string): string {
    return `${this.#mac(purpose, text)}.${text}`;
  }

  /** The text; undefined: not signed by this fleet for this purpose. */
  verify(purpose: string, value: string): string | undefined {
    const [, mac, text] = valuePattern.exec(value) ?? [];
    if (mac === undefined || text === undefined) return undefined;
    const expected = Buffer.from(this.#mac(purpose, text));
    return timingSafeEqual(expected, Buffer.from(mac)) ? text : undefined;
  }

  #mac(purpose: string, text: string): string {
    return createHmac('sha256', this.#key).update(`${purpose.length}:${purpose}${text}`).digest('base64url');
  }
}

function deriveKey(secret: string, purpose: string): Buffer {
  return createHmac('sha256', secret).update(`cistern fleet: ${purpose}`).digest();
}
