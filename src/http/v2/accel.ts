/**
 * `http.accel`: a proxy in front that shares the store's disk sends a held blob by itself. The answer names the file instead of
 * having its bytes; rights, links, freshness, log and metrics are decided here before, as for any other answer.
 */
import type { IncomingMessage } from 'node:http';
import { AddressBlocks } from '../../lib/address-blocks.ts';
import type { Digest } from '../../oci/digest.ts';
import type { BlobAnswer } from '../../registry/registry.ts';
import { type AppContext, plainAddress } from '../exchange.ts';
import { setContentNames, setFreshness } from './headers.ts';

export interface AccelOptions {
  /** Of the answer, `X-Accel-Redirect`. A request that has it itself is one that the proxy could not answer with the file. */
  readonly header: string;
  /** The proxy's internal path of the folder of blobs, with a slash at both ends. */
  readonly prefix: string;
  /** IP addresses and CIDR blocks. */
  readonly trustedProxies: readonly string[];
  /** The path of a blob's file within that folder. */
  readonly pathOf: (digest: Digest) => string;
}

/** One range, spelled so that every server reads it alike. */
const plainRange = /^bytes=(?:\d{1,15}-\d{0,15}|-\d{1,15})$/;
/** Conditions that this registry ignores and a file server does not. */
const dateConditions = ['if-match', 'if-modified-since', 'if-unmodified-since'] as const;

export class Accel {
  readonly #options: AccelOptions;
  readonly #proxies: AddressBlocks;
  /** As Node spells names of request headers. */
  readonly #name: string;

  /** Errors: TypeError or RangeError for a trusted proxy that is no address. */
  constructor(options: AccelOptions) {
    this.#options = options;
    this.#proxies = new AddressBlocks(options.trustedProxies);
    this.#name = options.header.toLowerCase();
  }

  /**
   * Whether the proxy can send what was decided: all of it is a verified file, and the proxy understands the same by the
   * request. A program on the proxy's own machine that asks without it sends no `X-Forwarded-For`, and gets the bytes.
   */
  takes({ headers, socket }: IncomingMessage, answer: BlobAnswer): boolean {
    if (answer.isVerifiedFile !== true || headers[this.#name] !== undefined) return false;
    const peer = plainAddress(socket.remoteAddress);
    if (headers['x-forwarded-for'] === undefined || peer === undefined || !this.#proxies.has(peer))
      return false;
    if (dateConditions.some(name => headers[name] !== undefined)) return false;
    const { range } = headers;
    return range === undefined ? !answer.partial : answer.partial && plainRange.test(range);
  }

  /** Closes the reader. The bytes are counted as sent. */
  async answer(context: AppContext, digest: Digest, answer: BlobAnswer, nowMs: number): Promise<void> {
    await answer.reader.close();
    context.respond = false;
    context.status = answer.partial ? 206 : 200;
    context.set('Content-Type', 'application/octet-stream');
    setFreshness(context, answer, nowMs);
    setContentNames(context, digest);
    context.set(this.#options.header, this.#options.prefix + this.#options.pathOf(digest));
    context.state.exchange.sentByProxy((answer.end ?? answer.start) - answer.start);
    context.res.end();
  }
}
