/**
 * The tags in the body of a `tags/list`. A list of some hundred thousand is read block by block, so that it holds nothing else up.
 */
import { TimeSlice } from '../../lib/time-slice.ts';
import { isTag } from '../../oci/name.ts';

const blockBytes = 128 * 1024;
/** Everything but the tags themselves. */
const maxFrameBytes = 4096;
const closingBracket = 0x5d;
const stepsPerLook = 500;

/** What is no tag is left out. Undefined: the body is no list of tags. */
export async function parseTagNames(bytes: Buffer): Promise<string[] | undefined> {
  const slice = new TimeSlice();
  const isLarge = bytes.length > blockBytes;
  const values = (isLarge ? await parseBlocks(bytes, slice) : undefined) ?? parseList(bytes.toString('utf8'));
  if (values === undefined) return undefined;
  const tags: string[] = [];
  for (const [index, value] of values.entries()) {
    if (typeof value === 'string' && isTag(value)) tags.push(value);
    if (index % stepsPerLook === 0 && slice.isOver) await slice.next();
  }
  return tags;
}

/** `"tags": null` is an empty list: Go's way to write one. */
function parseList(text: string): readonly unknown[] | undefined {
  const body = parseJson(text);
  if (typeof body !== 'object' || body === null || !('tags' in body)) return undefined;
  if (body.tags === null) return [];
  return Array.isArray(body.tags) ? body.tags : undefined;
}

/**
 * The list cut after closing quotes, each block read as a list of its own. A cut within a string leaves a block that is no JSON.
 * Undefined: this body can't be cut so, it has to be read as a whole.
 */
async function parseBlocks(bytes: Buffer, slice: TimeSlice): Promise<unknown[] | undefined> {
  const opening = /"tags"\s*:\s*\[/.exec(bytes.toString('latin1', 0, maxFrameBytes));
  if (opening === null) return undefined;
  const start = opening.index + opening[0].length;
  const end = bytes.indexOf(closingBracket, start);
  if (end === -1 || bytes.length - end > maxFrameBytes) return undefined;
  const frame = parseList(bytes.toString('utf8', 0, start) + bytes.toString('utf8', end));
  if (frame?.length !== 0) return undefined;
  const values: unknown[] = [];
  for (let at = start; at < end; ) {
    const cut = end - at <= blockBytes ? end : bytes.lastIndexOf('",', at + blockBytes) + 1;
    if (cut <= at) return undefined;
    const block = parseJson(`[${bytes.toString('utf8', at, cut)}]`);
    if (!Array.isArray(block)) return undefined;
    for (const value of block) values.push(value);
    at = cut + 1;
    if (slice.isOver) await slice.next();
  }
  return values;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller says what is wrong with the list
  }
}
