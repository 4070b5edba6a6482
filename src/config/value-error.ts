/**
 * The one error of the value parsers in this room: says what was expected and what came. Whoever parses a document
 * turns it into a problem with a place; it never leaves `config/`.
 */

export class ValueError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ValueError';
  }
}

/** `expected EXPECTED, got VALUE`. Not for secrets: texts are quoted. */
export function refusal(expected: string, got: unknown): ValueError {
  return new ValueError(`expected ${expected}, got ${describeValue(got)}`);
}

/** How a message names a value. Not for secrets: texts are quoted. */
export function describeValue(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a section with keys';
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'number') return `the number ${value}`;
  return String(value);
}
