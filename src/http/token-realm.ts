/**
 * Where clients get tokens, as a challenge names it: below `public_url`, else below what a trusted proxy says, else below the Host header. No
 * other answer depends on forwarded headers.
 */
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { LoginRequired, WrongCredentials } from '../auth/refusals.ts';
import { AddressBlocks } from '../lib/address-blocks.ts';
import { formatChallenge } from '../oci/challenge.ts';
import { isApiTarget } from '../oci/endpoint.ts';
import { plainAddress } from './exchange.ts';
import { isFitForHeader } from './v2/headers.ts';

const tokenPath = '/token';
/** Tokens are for this service, whatever its address. */
const service = 'cistern';

export interface TokenRealmOptions {
  /** Without a trailing slash. */
  readonly publicUrl?: string | undefined;
  /** IP addresses and CIDR blocks. */
  readonly trustedProxies: readonly string[];
}

const hostPattern = /^[A-Za-z0-9.:[\]_-]{1,255}$/;

export class TokenRealm {
  readonly #publicUrl: string | undefined;
  readonly #proxies: AddressBlocks;

  /** Errors: TypeError or RangeError for a trusted proxy that is no address. */
  constructor({ publicUrl, trustedProxies }: TokenRealmOptions) {
    this.#publicUrl = publicUrl;
    this.#proxies = new AddressBlocks(trustedProxies);
  }

  /** A Bearer challenge. `ns` tells the token endpoint which registry the names in the scopes belong to. */
  challenge(
    request: IncomingMessage,
    { scope, reason }: Partial<Pick<LoginRequired, 'scope' | 'reason'>>,
    ns: string | undefined,
  ): string {
    const query = ns !== undefined && isFitForHeader(ns) ? `?${new URLSearchParams({ ns })}` : '';
    const parameters = new Map([
      ['realm', `${this.baseOf(request)}${tokenPath}${query}`],
      ['service', service],
    ]);
    if (scope !== undefined) parameters.set('scope', scope);
    if (reason !== undefined) parameters.set('error', reason);
    return formatChallenge({ scheme: 'bearer', parameters });
  }

  /** How the client reaches this registry: `https://mirror.lan`, without a trailing slash. */
  baseOf(request: IncomingMessage): string {
    if (this.#publicUrl !== undefined) return this.#publicUrl;
    const peer = plainAddress(request.socket.remoteAddress);
    const isTrusted = peer !== undefined && this.#proxies.has(peer);
    const { headers } = request;
    const proto = isTrusted ? first(headers['x-forwarded-proto']) : undefined;
    const host = isTrusted ? first(headers['x-forwarded-host']) : undefined;
    const isTls = proto === undefined ? request.socket instanceof TLSSocket : proto.toLowerCase() === 'https';
    const candidates = [host, headers.host].filter(one => one !== undefined && hostPattern.test(one));
    return `${isTls ? 'https' : 'http'}://${candidates[0] ?? 'localhost'}`;
  }
}

/** What the outermost proxy said. */
function first(header: string | readonly string[] | undefined): string | undefined {
  const text = typeof header === 'string' ? header : header?.[0];
  const value = text?.split(',', 1)[0]?.trim();
  return value === '' ? undefined : value;
}

/** Of the token endpoint itself, which takes Basic. */
const basicChallenge = formatChallenge({ scheme: 'basic', parameters: new Map([['realm', 'Cistern']]) });

/** The value of `WWW-Authenticate`. Undefined: none, so that no browser asks for a password over a page of ours. */
export function challengeOf(
  realm: TokenRealm,
  request: IncomingMessage,
  error: WrongCredentials | LoginRequired,
  ns: string | undefined,
): string | undefined {
  const { url = '' } = request;
  if (isApiTarget(url)) return realm.challenge(request, 'scope' in error ? error : {}, ns);
  return isTokenTarget(url) ? basicChallenge : undefined;
}

export function isTokenTarget(url: string): boolean {
  return url === tokenPath || url.startsWith(`${tokenPath}?`);
}
