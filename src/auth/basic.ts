/** `Authorization: Basic …` (RFC 7617): a name and a password in UTF-8. */

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

/** Longer ones are nobody's: bcrypt looks at 72 bytes anyway. */
const maxLength = 1024;

/** `malformed`: it says Basic, and isn't. Undefined: absent, or another scheme, which is no login here. */
export function parseBasic(header: string | undefined): Credentials | 'malformed' | undefined {
  const [, encoded] = /^basic(?: +(.*))?$/is.exec(header?.trim() ?? '') ?? [];
  if (encoded === undefined) return /^basic\b/i.test(header?.trim() ?? '') ? 'malformed' : undefined;
  if (encoded.length > 2 * maxLength || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return 'malformed';
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1 || text.includes('\0')) return 'malformed';
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}
