/**
 * How a node proves to another that it belongs to the fleet: a MAC over the request line, the range, both nodes, the time
 * and a nonce. Each request is good for one node, once, within a minute of that node's clock. Bodies aren't signed:
 * what they must hash to stands in the path.
 *
 *     Authorization: Cistern-Fleet from=…, time=…, nonce=…, mac=…
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export interface SignedRequest {
  readonly method: string;
  /** The raw request target, with its query. */
  readonly target: string;
  /** The `Range` header, if any. */
  readonly range: string | undefined;
}

export interface SignatureOptions {
  /** The fleet's: it stays here, and isn't the key itself, so that a signature never helps to forge a seal. */
  readonly secret: string;
  /** This node. */
  readonly node: string;
  /** Milliseconds since the epoch. */
  now(): number;
}

const scheme = 'Cistern-Fleet';
const pattern = /^Cistern-Fleet from=([a-f0-9]{16}), time=(\d{1,15}), nonce=([\w-]{22}), mac=([\w-]{43})$/;
const toleranceMs = 60_000;
/** Only requests with a good MAC are remembered: far more than a fleet sends in two minutes. */
const maxNonces = 200_000;

export class Signatures {
  readonly #options: SignatureOptions;
  readonly #key: Buffer;
  /** Until when each nonce counts as used, that moment too, in the order of their coming. */
  readonly #used = new Map<string, number>();

  constructor(options: SignatureOptions) {
    this.#options = options;
    this.#key = createHmac('sha256', options.secret).update('cistern fleet: requests').digest();
  }

  /** The value of `Authorization` for a request to the node `to`. */
  sign(request: SignedRequest, to: string): string {
    const { node, now } = this.#options;
    const time = String(now());
    const nonce = randomBytes(16).toString('base64url');
    const mac = this.#mac([...partsOf(request), node, to, time, nonce]).toString('base64url');
    return `${scheme} from=${node}, time=${time}, nonce=${nonce}, mac=${mac}`;
  }

  /** The node that asks; undefined: the request isn't one of this fleet's, is old, or came before. */
  verify(request: SignedRequest, authorization: string | undefined): string | undefined {
    const { node, now } = this.#options;
    const [, from = '', time = '', nonce = '', given = ''] = pattern.exec(authorization ?? '') ?? [];
    const mac = this.#mac([...partsOf(request), from, node, time, nonce]);
    if (from === '' || !timingSafeEqual(mac, Buffer.from(given, 'base64url'))) return undefined;
    if (Math.abs(now() - Number(time)) > toleranceMs) return undefined;
    return this.#isFirst(nonce) ? from : undefined;
  }

  /** Where one part ends and the next begins is part of it. */
  #mac(parts: readonly string[]): Buffer {
    return createHmac('sha256', this.#key).update(JSON.stringify(parts)).digest();
  }

  #isFirst(nonce: string): boolean {
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

function partsOf({ method, target, range }: SignedRequest): readonly string[] {
  return [method, target, range ?? ''];
}
