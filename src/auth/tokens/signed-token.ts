/**
 * Tokens as JSON web tokens (RFC 7519) of one algorithm, HS256: made and read by this registry alone, so a key and HMAC are all of JOSE
 * that it takes. The algorithm is never read from a token.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Scope } from './scope.ts';

export interface TokenKey {
  /** Names the key in the token's header. */
  readonly id: string;
  readonly secret: Uint8Array;
}

export interface TokenClaims {
  /** Undefined: anonymous. */
  readonly user: string | undefined;
  readonly groups: readonly string[];
  readonly scopes: readonly Scope[];
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

const issuer = 'cistern';

export function signToken(claims: TokenClaims, { id, secret }: TokenKey): string {
  const { user, groups, scopes, issuedAt, expiresAt } = claims;
  const payload = {
    iss: issuer,
    ...(user !== undefined && { sub: user }),
    ...(groups.length > 0 && { groups }),
    access: scopes,
    iat: issuedAt,
    exp: expiresAt,
  };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT', kid: id })}.${encode(payload)}`;
  return `${signed}.${signatureOf(signed, secret)}`;
}

/** Undefined: no token of one of these keys. An expired one is read like any other. */
export function readToken(token: string, keys: readonly TokenKey[]): TokenClaims | undefined {
  const [header = '', payload = '', signature = '', ...rest] = token.split('.');
  if (rest.length > 0) return undefined;
  const id = fieldOf(decode(header), 'kid');
  const key = keys.find(one => one.id === id);
  if (key === undefined) return undefined;
  const [given, right] = [
    Buffer.from(signature),
    Buffer.from(signatureOf(`${header}.${payload}`, key.secret)),
  ];
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
  return claimsOf(decode(payload)); // signed here, yet an older version may have written it
}

function claimsOf(payload: unknown): TokenClaims | undefined {
  const [user, groups, access] = [
    fieldOf(payload, 'sub'),
    fieldOf(payload, 'groups'),
    fieldOf(payload, 'access'),
  ];
  const [issuedAt, expiresAt] = [fieldOf(payload, 'iat'), fieldOf(payload, 'exp')];
  if (typeof issuedAt !== 'number' || typeof expiresAt !== 'number' || !Array.isArray(access))
    return undefined;
  return {
    user: typeof user === 'string' ? user : undefined,
    groups: Array.isArray(groups) ? groups.map(String) : [],
    scopes: access.flatMap((scope: unknown) => scopeOf(scope) ?? []),
    issuedAt,
    expiresAt,
  };
}

function scopeOf(value: unknown): Scope | undefined {
  const [type, name, actions] = [fieldOf(value, 'type'), fieldOf(value, 'name'), fieldOf(value, 'actions')];
  if ((type !== 'repository' && type !== 'registry') || typeof name !== 'string') return undefined;
  return Array.isArray(actions) ? { type, name, actions: actions.map(String) } : undefined;
}

function signatureOf(text: string, secret: Uint8Array): string {
  return createHmac('sha256', secret).update(text).digest('base64url');
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    return undefined; // no token
  }
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined;
}
