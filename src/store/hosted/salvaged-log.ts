/**
 * What can still be read of a damaged hosted log: its right lines, with those of its copy where the log has lost them, and the text of the
 * damaged ones, which may name what is lost.
 */
import { constants } from 'node:fs';
import { openRegular, parseChecksummedLine } from '../disk-files.ts';
import type { StoreLayout } from '../layout.ts';
import { headerId } from './log-file.ts';

export interface SalvagedLog {
  /** Of the right lines, in order. */
  readonly values: readonly unknown[];
  /** As they stand in the files. */
  readonly damagedLines: readonly string[];
  /** The copy has everything: nothing is lost. */
  readonly isWhole: boolean;
}

interface Line {
  readonly text: string;
  /** Undefined: damaged. */
  readonly value: unknown;
}

/** Files that can't be read count as lost. Never throws. */
export async function salvageLog(layout: StoreLayout, repository: string): Promise<SalvagedLog> {
  const log = await readLines(layout.hostedLogPath(repository));
  const copy = await readLines(layout.hostedCopyPath(repository));
  const isOfLog = idOf(log) === undefined || idOf(log) === idOf(copy);
  const isWhole =
    isOfLog && copy.length > 0 && copy.every(isRight) && copy.length >= log.filter(isRight).length;
  if (isWhole) return { values: valuesOf(copy), damagedLines: [], isWhole };
  const merged = log.map((line, at) => (isRight(line) || !isOfLog ? line : (copy[at] ?? line)));
  const lines = isOfLog ? [...merged, ...copy.slice(log.length)] : merged;
  const damaged = [...log, ...lines].filter(line => !isRight(line)).map(({ text }) => text);
  return { values: valuesOf(lines), damagedLines: [...new Set(damaged)], isWhole };
}

/** A last line that a crash tore was never answered, or stands in the other file. */
async function readLines(path: string): Promise<readonly Line[]> {
  let bytes: Buffer;
  try {
    const handle = await openRegular(path, constants.O_RDONLY);
    bytes = await handle.readFile().finally(() => handle.close());
  } catch {
    return []; // the reason was told when the repository was closed
  }
  const texts = bytes.toString('utf8').split('\n');
  if (texts.at(-1) === '') texts.pop();
  return texts.map(text => ({ text, value: parseChecksummedLine(text) }));
}

function isRight({ value }: Line): boolean {
  return value !== undefined;
}

/** Without the first line, which only names the file. */
function valuesOf(lines: readonly Line[]): unknown[] {
  return lines.filter(line => isRight(line) && headerId(line.value) === undefined).map(({ value }) => value);
}

function idOf([first]: readonly Line[]): string | undefined {
  return headerId(first?.value);
}
