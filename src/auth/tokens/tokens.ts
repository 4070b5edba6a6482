/**
 * Issues tokens and verifies those that clients send back. A verified one is remembered by its hash until it expires, so a request with it
 * costs one hash and no parsing.
 */
import { createHash } from 'node:crypto';
import { ExpiringMap } from '../../lib/expiring-map.ts';
import type { Identity } from '../identity/identity-provider.ts';
import type { Scope } from './scope.ts';
import { readToken, signToken, type TokenClaims } from './signed-token.ts';
import type { TokenKeys } from './token-keys.ts';

export interface TokensOptions {
  readonly keys: TokenKeys;
  /** How long a token is good, in ms. */
  readonly ttlMs: number;
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  /** Milliseconds since the epoch. */
  readonly issuedAtMs: number;
}

export interface VerifiedToken {
  readonly user: string | undefined;
  readonly groups: readonly string[];
  readonly scopes: readonly Scope[];
  readonly isExpired: boolean;
}

const maxRemembered = 20_000;

export class Tokens {
  readonly #options: TokensOptions;
  readonly #verified: ExpiringMap<string, VerifiedToken>;

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#verified = new ExpiringMap({ maxEntries: maxRemembered, ttlMs: options.ttlMs, now: options.now });
  }

  /** `identity` undefined: anonymous. */
  async issue(identity: Identity | undefined, scopes: readonly Scope[]): Promise<IssuedToken> {
    const { keys, ttlMs, now } = this.#options;
    const [key] = await keys.current();
    if (key === undefined) throw new Error('there is no key for tokens');
    const issuedAt = Math.floor(now() / 1000);
    const expiresInSeconds = Math.floor(ttlMs / 1000);
    const claims = {
      user: identity?.user,
      groups: identity?.groups ?? [],
      scopes,
      issuedAt,
      expiresAt: issuedAt + expiresInSeconds,
    };
    return { token: signToken(claims, key), expiresInSeconds, issuedAtMs: issuedAt * 1000 };
  }

  /** At once, for what was verified before. Undefined: unknown, not wrong. */
  known(token: string): VerifiedToken | undefined {
    return this.#verified.get(hashOf(token));
  }

  /** Undefined: no token of this registry. */
  async verify(token: string): Promise<VerifiedToken | undefined> {
    const known = this.known(token);
    if (known !== undefined) return known;
    const { keys, now } = this.#options;
    const claims: TokenClaims | undefined = readToken(token, await keys.current());
    if (claims === undefined) return undefined;
    const { user, groups, scopes, expiresAt } = claims;
    const leftMs = expiresAt * 1000 - now();
    const verified = { user, groups, scopes, isExpired: leftMs <= 0 };
    if (leftMs > 0) this.#verified.set(hashOf(token), verified, leftMs);
    return verified;
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
