/**
 * The lines of an htpasswd file: a name and a bcrypt hash each, as `htpasswd -B` writes them. Other kinds of hashes are
 * not taken: they are fast to guess. What a line says is never repeated, only where it stands.
 */

export interface Htpasswd {
  /** Name to bcrypt hash, in the spelling that the library takes (`$2b$`). */
  readonly hashes: ReadonlyMap<string, string>;
  readonly flaws: readonly { readonly line: number; readonly message: string }[];
}

/** Apache writes `$2y$` for what everybody else calls `$2b$`: the same algorithm. */
const bcryptPattern = /^\$2([aby])(\$\d{2}\$[./A-Za-z0-9]{53})$/;
/** Each step doubles the work: beyond it one login would take half a minute and more. */
const maxCost = 16;

/** The last of two lines for one name counts, as in a file that was appended to. */
export function parseHtpasswd(text: string): Htpasswd {
  const hashes = new Map<string, string>();
  const flaws: { line: number; message: string }[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const [, kind, rest = ''] = bcryptPattern.exec(line.slice(colon + 1)) ?? [];
    if (colon < 1) {
      flaws.push({ line: index + 1, message: 'expected NAME:HASH' });
    } else if (kind === undefined) {
      flaws.push({ line: index + 1, message: 'expected a bcrypt hash (htpasswd -B), got something else' });
    } else if (Number(rest.slice(1, 3)) > maxCost) {
      flaws.push({ line: index + 1, message: `expected a bcrypt cost of at most ${maxCost}, got more` });
    } else {
      hashes.set(line.slice(0, colon), `$2${kind === 'y' ? 'b' : kind}${rest}`);
    }
  }
  return { hashes, flaws };
}
