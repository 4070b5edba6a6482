/**
 * Values in Redis that only a node of this fleet can have written: the text, and an HMAC over it and what it is for.
 * The key is derived from the fleet's secret, so that a seal never helps to forge a request of a peer, or the other way.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

const macPattern = /^([A-Za-z0-9_-]{43})\.(.*)$/s;

export class SignedValues {
  readonly #key: Buffer;

  /** `secret`: the fleet's. */
  constructor(secret: string) {
    this.#key = createHmac('sha256', secret).update('cistern fleet: values in Redis').digest();
  }

  /** `purpose` names where it belongs (`tag:docker.io/library/alpine:3`): elsewhere it doesn't open. */
  close(purpose: string, text: string): string {
    return `${this.#mac(purpose, text)}.${text}`;
  }

  /** Undefined: not sealed by this fleet for this purpose. */
  open(purpose: string, sealed: string): string | undefined {
    const [, mac, text] = macPattern.exec(sealed) ?? [];
    if (mac === undefined || text === undefined) return undefined;
    const expected = Buffer.from(this.#mac(purpose, text));
    return timingSafeEqual(expected, Buffer.from(mac)) ? text : undefined;
  }

  #mac(purpose: string, text: string): string {
    return createHmac('sha256', this.#key).update(`${purpose.length}:${purpose}${text}`).digest('base64url');
  }
}
