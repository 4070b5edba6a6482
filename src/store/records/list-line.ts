/**
 * The one line of a list's file: `formatChecksummedLine` of `{ checkedAt, text }`. Lists have megabytes, so the text is escaped, hashed and
 * checked in slices, and other requests run in between.
 */
import { createHash } from 'node:crypto';
import { TimeSlice } from '../../lib/time-slice.ts';

export interface StoredList {
  readonly checkedAt: number;
  /** What the cache made of the upstream's answer. */
  readonly text: string;
}

export interface ListLine {
  readonly line: Buffer;
  /** Of the text alone: two lines of one text have the same. */
  readonly sum: string;
}

/** Characters or bytes between two looks at the clock: half a millisecond. */
const blockLength = 64 * 1024;

/** Undefined: the text has more than `maxLength` characters. */
export async function formatListLine(
  checkedAt: number,
  pieces: Iterable<string>,
  maxLength: number,
): Promise<ListLine | undefined> {
  const slice = new TimeSlice();
  const [whole, text] = [createHash('sha256'), createHash('sha256')];
  const head = Buffer.from(`{"checkedAt":${JSON.stringify(checkedAt)},"text":"`);
  const blocks = [head];
  whole.update(head);
  let length = 0;
  for (const piece of pieces) {
    length += piece.length;
    if (length > maxLength) return undefined;
    for (let at = 0; at < piece.length; at += blockLength) {
      const block = Buffer.from(JSON.stringify(piece.slice(at, at + blockLength)).slice(1, -1));
      whole.update(block);
      text.update(block);
      blocks.push(block);
      if (slice.isOver) await slice.next();
    }
  }
  const tail = Buffer.from('"}');
  const checksum = whole.update(tail).digest('hex').slice(0, 8);
  const line = Buffer.concat([Buffer.from(`${checksum} `), ...blocks, tail, Buffer.of(0x0a)]);
  return { line, sum: text.digest('base64') };
}

/** Undefined: damaged. */
export async function parseListLine(line: Buffer): Promise<StoredList | undefined> {
  const slice = new TimeSlice();
  const end = line.at(-1) === 0x0a ? line.length - 1 : line.length;
  const hash = createHash('sha256');
  for (let at = 9; at < end; at += blockLength) {
    hash.update(line.subarray(at, Math.min(end, at + blockLength)));
    if (slice.isOver) await slice.next();
  }
  const checksum = hash.digest('hex').slice(0, 8);
  if (line.toString('latin1', 0, 9) !== `${checksum} `) return undefined;
  try {
    return toList(JSON.parse(line.toString('utf8', 9, end)));
  } catch {
    return undefined; // the checksum matches by chance
  }
}

function toList(value: unknown): StoredList | undefined {
  if (typeof value !== 'object' || value === null || !('checkedAt' in value) || !('text' in value))
    return undefined;
  const { checkedAt, text } = value;
  return typeof checkedAt === 'number' && typeof text === 'string' ? { checkedAt, text } : undefined;
}
