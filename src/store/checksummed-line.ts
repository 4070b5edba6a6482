/**
 * The lines of append-only files and small files of the store: each has its own checksum, so that a reader tells a line that a crash tore
 * or the disk damaged from a whole one.
 */
import { createHash } from 'node:crypto';

/** Eight hex digits of the SHA-256 of the rest, a space, JSON, a line feed. */
export function formatChecksummedLine(value: unknown): string {
  const text = JSON.stringify(value);
  return `${checksumOf(text)} ${text}\n`;
}

/** `line` without its line feed. Undefined: torn or damaged. */
export function parseChecksummedLine(line: string): unknown {
  const text = line.slice(9);
  if (line[8] !== ' ' || line.slice(0, 8) !== checksumOf(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the checksum matches by chance
  }
}

function checksumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
