/** A name and a password, and how a client sends them: `Authorization: Basic …` (RFC 7617). */

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

/** A longer name or password is malformed: bcrypt reads 72 bytes anyway. */
const maxCredentialsLength = 1024;

/**
 * `Authorization: Basic …` (RFC 7617), a name and a password in UTF-8. `malformed`: the scheme is Basic, the rest is not.
 * Undefined: the header is absent or has another scheme, which is no login here.
 */
export function parseBasic(header: string | undefined): Credentials | 'malformed' | undefined {
  const [, encoded] = /^basic(?: +(.*))?$/is.exec(header?.trim() ?? '') ?? [];
  if (encoded === undefined) return /^basic\b/i.test(header?.trim() ?? '') ? 'malformed' : undefined;
  if (encoded.length > 2 * maxCredentialsLength || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded))
    return 'malformed';
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1 || text.includes('\0')) return 'malformed';
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Longer than any token of this mirror: with the scopes, groups and name that one may have. Node takes 16 KiB of headers. */
const maxTokenLength = 14_000;

/**
 * `Authorization: Bearer …` (RFC 6750). `malformed`: the scheme is Bearer, the rest is no token. Undefined: the header is absent or
 * has another scheme.
 */
export function parseBearer(
  header: string | undefined,
): { readonly token: string } | 'malformed' | undefined {
  const [, token] = /^bearer(?: +(.*))?$/is.exec(header?.trim() ?? '') ?? [];
  if (token === undefined) return /^bearer\b/i.test(header?.trim() ?? '') ? 'malformed' : undefined;
  if (token.length > maxTokenLength || !/^[A-Za-z0-9._~+/-]+=*$/.test(token)) return 'malformed';
  return { token };
}
