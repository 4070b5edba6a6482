/**
 * Values of callers inside LDAP filters (RFC 4515) and names of entries (RFC 4514): whatever a value holds, it stays one value. Also
 * reads names of entries as far as groups need it.
 */

/** For a value in a filter. Colons too: they are syntax where a filter names a matching rule. */
export function escapeFilterValue(value: string): string {
  return Array.from(value, character => (isFilterSyntax(character) ? hex(character) : character)).join('');
}

/** For a value in the name of an entry. */
export function escapeDnValue(value: string): string {
  const characters = Array.from(value);
  return characters
    .map((character, at) => {
      const isOuterBlank = character === ' ' && (at === 0 || at === characters.length - 1);
      return isDnSyntax(character) || isOuterBlank ? hex(character) : character;
    })
    .join('');
}

/** `{user}` and `{dn}` in a template, each escaped by `escapeValue`. */
export function fillTemplate(
  template: string,
  values: Readonly<Record<string, string>>,
  escapeValue: (value: string) => string,
): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    return value === undefined ? whole : escapeValue(value);
  });
}

/** The attribute that a template compares with the user's name first: `uid` in `(uid={user})` and in `uid={user},ou=people`. */
export function attributeOfUser(template: string): string | undefined {
  return /([A-Za-z][\w-]*)\s*=\s*\{user\}/.exec(template)?.[1];
}

/** Names compare without regard to case, blanks at their ends, and how many there are in between (RFC 4518). */
export function normalizeName(value: string): string {
  return value.normalize('NFKC').trim().replaceAll(/\s+/g, ' ').toLowerCase();
}

/** `cn=Admins,ou=groups` is `[['cn', 'admins'], ['ou', 'groups']]`, values unescaped and normalized. */
export function parseDn(dn: string): readonly (readonly [type: string, value: string])[] {
  if (dn.trim() === '') return [];
  return splitUnescaped(dn).map(part => {
    const equals = part.indexOf('=');
    const type = part.slice(0, Math.max(equals, 0)).trim().toLowerCase();
    return [type, normalizeName(unescapeDnValue(part.slice(equals + 1)))] as const;
  });
}

/** Whether the entry is `base` or below it. */
export function isWithin(dn: string, base: string): boolean {
  const [inner, outer] = [parseDn(dn), parseDn(base)];
  const offset = inner.length - outer.length;
  return (
    offset >= 0 &&
    outer.every(([type, value], at) => {
      const [innerType, innerValue] = inner[offset + at] ?? [];
      return innerType === type && innerValue === value;
    })
  );
}

function splitUnescaped(dn: string): readonly string[] {
  return dn.match(/(?:\\.|[^\\,])+/gs) ?? [];
}

/** Escapes by code are bytes of UTF-8. In one pass: what comes out is not read again. */
function unescapeDnValue(value: string): string {
  return value
    .trim()
    .replaceAll(/((?:\\[0-9A-Fa-f]{2})+)|\\(.)/gs, (_whole, codes: string | undefined, character = '') =>
      codes === undefined ? character : Buffer.from(codes.replaceAll('\\', ''), 'hex').toString('utf8'),
    );
}

function isFilterSyntax(character: string): boolean {
  return character < ' ' || '*()\\:'.includes(character);
}

function isDnSyntax(character: string): boolean {
  return character < ' ' || '"+,;<>\\=#'.includes(character);
}

function hex(character: string): string {
  return `\\${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
