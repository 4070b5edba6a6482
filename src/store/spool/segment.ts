/**
 * One file of a spool: a checksummed line per entry, numbered and in order. Its name has the number and the time of its
 * first entry. A process appends only to files that it began itself, so a torn last line never has another one after it.
 */
import { constants } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { formatChecksummedLine, openRegular, parseChecksummedLine } from '../disk-files.ts';
import { ignoreMissing } from '../store-error.ts';

export interface SpooledEntry {
  /** From 0 on, without gaps. */
  readonly number: number;
  /** When it came: milliseconds since the epoch. */
  readonly at: number;
  readonly value: unknown;
}

const digits = 16;
const namePattern = /^(\d{16})-(\d{1,16})\.log$/;

export class Segment {
  readonly first: number;
  /** When its first entry came. */
  readonly at: number;
  readonly #path: string;
  /** The last entry that it may hold. */
  last: number;
  bytes: number;

  constructor(folder: string, first: number, at: number, { last = first - 1, bytes = 0 } = {}) {
    this.first = first;
    this.at = at;
    this.last = last;
    this.bytes = bytes;
    this.#path = join(folder, `${String(first).padStart(digits, '0')}-${at}.log`);
  }

  /** Undefined: no name of a segment. */
  static parseName(name: string): { readonly first: number; readonly at: number } | undefined {
    const [, first, at] = namePattern.exec(name) ?? [];
    return first === undefined ? undefined : { first: Number(first), at: Number(at) };
  }

  /** Errors: system errors; then nothing was appended. */
  async append(lines: string, last: number): Promise<void> {
    const handle = await openRegular(this.#path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT);
    try {
      await handle.appendFile(lines).catch(async error => {
        await handle.truncate(this.bytes).catch(() => undefined); // the first error is thrown
        throw error;
      });
    } finally {
      await handle.close();
    }
    this.bytes += Buffer.byteLength(lines);
    this.last = last;
  }

  /** What stands from byte `from` on, up to `bytes`; a damaged line is left out. Errors: system errors. */
  async read(from: number): Promise<readonly SpooledEntry[]> {
    if (from >= this.bytes) return [];
    const buffer = Buffer.alloc(this.bytes - from);
    const handle = await openRegular(this.#path, constants.O_RDONLY).catch(ignoreMissing);
    if (handle === undefined) return [];
    try {
      let filled = 0;
      for (let bytes = -1; bytes !== 0 && filled < buffer.length; filled += bytes) {
        ({ bytesRead: bytes } = await handle.read(buffer, filled, buffer.length - filled, from + filled));
      }
      const lines = buffer.toString('utf8', 0, filled).split('\n');
      return lines.map(line => parseEntry(parseChecksummedLine(line))).filter(entry => entry !== undefined);
    } finally {
      await handle.close();
    }
  }

  /** Errors: system errors. */
  async remove(): Promise<void> {
    await unlink(this.#path).catch(ignoreMissing);
  }
}

export function formatEntry(entry: SpooledEntry): string {
  return formatChecksummedLine(entry);
}

function parseEntry(line: unknown): SpooledEntry | undefined {
  if (typeof line !== 'object' || line === null || !('number' in line && 'at' in line && 'value' in line))
    return undefined;
  const { number, at, value } = line;
  return typeof number === 'number' && typeof at === 'number' ? { number, at, value } : undefined;
}
