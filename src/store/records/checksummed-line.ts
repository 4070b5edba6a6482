/**
 * One line of a record file: eight hex digits of a hash over the rest, a space, JSON. A line that was torn by a crash or
 * damaged on disk doesn't match its guard and is skipped, so a record never has to be repaired.
 */
import { createHash } from 'node:crypto';

export function formatChecksummedLine(value: unknown): string {
  const text = JSON.stringify(value);
  return `${guardOf(text)} ${text}\n`;
}

/** Undefined: not a whole line. `line` without its end. */
export function parseChecksummedLine(line: string): unknown {
  const text = line.slice(9);
  if (line[8] !== ' ' || line.slice(0, 8) !== guardOf(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a guard that fits by chance
  }
}

function guardOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
