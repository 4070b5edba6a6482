/**
 * The entries of a tar archive as its bytes come, for archives of unknown origin: ustar with the extensions of pax and GNU for long names
 * and sizes. It holds one header and one chunk, whatever the archive says; nothing is written, and no name is a path here.
 */
import { RegistryError } from '../oci/error.ts';

export interface TarEntry {
  readonly name: string;
  readonly type: 'file' | 'folder' | 'link' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Read at most once, and before the next entry is asked for. What is not read is skipped. */
  readonly bytes: AsyncIterable<Buffer>;
}

const blockBytes = 512;
/** A header that extends the next one has a name and a few numbers. */
const maxExtensionBytes = 64 * 1024;
const nothing = Buffer.alloc(0);

const types: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'link',
  '5': 'folder',
};

/** Up to its end mark; what follows that is read and ignored. Errors: MANIFEST_INVALID for what is no whole archive; those of `source`. */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarEntry, void, void> {
  const input = new ByteQueue(source[Symbol.asyncIterator]());
  let extension: Extension = {};
  for (;;) {
    const header = await input.take(blockBytes);
    if (header === undefined) throw cutOff('it ends without the mark of its end');
    if (header.every(byte => byte === 0)) return await input.drain();
    requireChecksum(header, input.offset - blockBytes);
    const flag = String.fromCharCode(header[156] ?? 0);
    const size = sizeOf(header);
    if (flag === 'x' || flag === 'L' || flag === 'K') {
      const bytes = await takeExtension(input, size);
      if (flag === 'x') extension = { ...extension, ...readPax(bytes) };
      if (flag === 'L') extension = { ...extension, path: textOf(bytes) };
      continue;
    }
    const ownBytes = extension.size ?? size;
    const body = new EntryBytes(input, ownBytes);
    if (flag !== 'g')
      yield {
        name: extension.path ?? nameOf(header),
        type: types[flag] ?? 'other',
        size: ownBytes,
        bytes: body,
      };
    await body.skip();
    if (flag !== 'g') extension = {};
  }
}

interface Extension {
  readonly path?: string;
  readonly size?: number;
}

/** Chunks as they come, cut to what is asked for. */
class ByteQueue {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = nothing;
  /** Of what is taken next, in the archive. */
  offset = 0;

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source;
  }

  /** At most `bytes`, and at least one. Undefined: there is no more. */
  async some(bytes: number): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#rest = next.value;
    }
    const chunk = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(chunk.length);
    this.offset += chunk.length;
    return chunk;
  }

  /** Undefined: there is no more. Errors: MANIFEST_INVALID when there is less. */
  async take(bytes: number): Promise<Buffer | undefined> {
    const first = await this.some(bytes);
    if (first === undefined || first.length === bytes) return first;
    const chunks = [first];
    for (let missing = bytes - first.length; missing > 0; ) {
      const chunk = await this.some(missing);
      if (chunk === undefined) throw cutOff('it ends within an entry');
      chunks.push(chunk);
      missing -= chunk.length;
    }
    return Buffer.concat(chunks);
  }

  /** A program that writes into a pipe must be able to end. */
  async drain(): Promise<void> {
    while ((await this.some(Number.MAX_SAFE_INTEGER)) !== undefined);
  }
}

class EntryBytes implements AsyncIterable<Buffer> {
  readonly #input: ByteQueue;
  readonly #padding: number;
  #missing: number;

  constructor(input: ByteQueue, size: number) {
    this.#input = input;
    this.#missing = size;
    this.#padding = (blockBytes - (size % blockBytes)) % blockBytes;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    while (this.#missing > 0) {
      const chunk = await this.#input.some(this.#missing);
      if (chunk === undefined) throw cutOff('it ends within an entry');
      this.#missing -= chunk.length;
      yield chunk;
    }
  }

  async skip(): Promise<void> {
    for await (const _ of this);
    if (this.#padding > 0 && (await this.#input.take(this.#padding)) === undefined)
      throw cutOff('it ends within an entry');
  }
}

async function takeExtension(input: ByteQueue, size: number): Promise<Buffer> {
  if (size > maxExtensionBytes) throw invalid(`a header of ${size} bytes stands in it`);
  const padded = Math.ceil(size / blockBytes) * blockBytes;
  const bytes = padded === 0 ? nothing : await input.take(padded);
  if (bytes === undefined) throw cutOff('it ends within a header');
  return bytes.subarray(0, size);
}

/** POSIX pax: `LENGTH KEY=VALUE\n`, where the length counts the whole line. */
function readPax(bytes: Buffer): Extension {
  const found: { path?: string; size?: number } = {};
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space === -1 ? 0 : Number(bytes.toString('latin1', at, space));
    if (!Number.isSafeInteger(length) || length <= space - at || at + length > bytes.length)
      throw invalid('a pax header in it cannot be read');
    const line = bytes.toString('utf8', space + 1, at + length - 1);
    const equals = line.indexOf('=');
    const [key, value] = [line.slice(0, equals), line.slice(equals + 1)];
    if (key === 'path') found.path = value;
    if (key === 'size') found.size = requireSize(/^\d+$/.test(value) ? Number(value) : Number.NaN);
    at += length;
  }
  return found;
}

/** The sum of all bytes, with its own field as spaces. */
function requireChecksum(header: Buffer, at: number): void {
  let sum = 0;
  for (let i = 0; i < blockBytes; i += 1) sum += i >= 148 && i < 156 ? 0x20 : (header[i] ?? 0);
  const said = textOf(header.subarray(148, 156)).trim();
  if (/^[0-7]+$/.test(said) && Number.parseInt(said, 8) === sum) return;
  throw invalid(`there is no header of an entry at byte ${at}`);
}

/** Octal digits; from 8 GiB on GNU and Go write it in base 256. */
function sizeOf(header: Buffer): number {
  const field = header.subarray(124, 136);
  if ((field[0] ?? 0) >= 0x80) {
    const isSmall = field[0] === 0x80 && field.subarray(1, 5).every(byte => byte === 0);
    return requireSize(isSmall ? field.readUIntBE(5, 1) * 2 ** 48 + field.readUIntBE(6, 6) : Number.NaN);
  }
  const digits = textOf(field).trim();
  return requireSize(/^[0-7]*$/.test(digits) ? Number.parseInt(digits || '0', 8) : Number.NaN);
}

function requireSize(size: number): number {
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw invalid('the size of an entry in it cannot be read');
}

function nameOf(header: Buffer): string {
  const name = textOf(header.subarray(0, 100));
  const isUstar = header.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? textOf(header.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** To the first zero byte. */
function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? field.length : end);
}

function cutOff(how: string): RegistryError {
  return invalid(`${how}, so it was cut off`);
}

function invalid(what: string): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message: `this is no whole tar archive: ${what}` });
}
