/** Tar archives of other tools, and such as no tool makes: what is read of them, and how little is kept of the rest. */
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { expect, test } from 'vitest';
import { readTar } from '../../../src/bundle/tar-reader.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function list(bytes: Buffer, pieceBytes = 1000): Promise<(readonly [string, string, string])[]> {
  const found: (readonly [string, string, string])[] = [];
  for await (const entry of readTar(inPieces(bytes, pieceBytes))) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry.bytes) chunks.push(chunk);
    found.push([entry.name, entry.type, Buffer.concat(chunks).toString('latin1')]);
  }
  return found;
}

async function packed(files: readonly (readonly [string, string])[]): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of files) tar.entry({ name }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A header of 512 bytes with a right checksum. */
function header(fields: Readonly<Record<number, string | Buffer>>): Buffer {
  const bytes = Buffer.alloc(512);
  for (const [at, value] of Object.entries(fields)) bytes.set(Buffer.from(value), Number(at));
  bytes.fill(0x20, 148, 156);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

const end = Buffer.alloc(1024);

test('any files come out as they went in, whatever the pieces', async () => {
  const name = fc.stringMatching(/^[a-z0-9/]{1,140}$/).filter(text => !/^\/|\/\/|\/$/.test(text));
  const files = fc.uniqueArray(fc.tuple(name, fc.string({ unit: 'binary-ascii', maxLength: 3000 })), {
    maxLength: 5,
    selector: ([text]) => text,
  });
  await fc.assert(
    fc.asyncProperty(files, fc.integer({ min: 1, max: 5000 }), async (given, pieceBytes) => {
      const bytes = await packed(given);
      expect(await list(bytes, pieceBytes)).toEqual(given.map(([text, content]) => [text, 'file', content]));
    }),
    { numRuns: 50 },
  );
});

test.each(['gnu', 'pax', 'ustar', 'v7'])(
  'what GNU tar writes as %s is read: folders, links, long names',
  async format => {
    const folder = await tempDir();
    const long = format === 'v7' || format === 'ustar' ? 'n'.repeat(90) : 'n'.repeat(140);
    await mkdir(join(folder, 'blobs'));
    await writeFile(join(folder, 'blobs', long), 'content');
    execFileSync('ln', ['-s', long, join(folder, 'blobs', 'link')]);
    const bytes = execFileSync('tar', [
      '-C',
      folder,
      `--format=${format}`,
      '--sort=name',
      '-cf',
      '-',
      'blobs',
    ]);
    expect(await list(bytes)).toEqual([
      ['blobs/', 'folder', ''],
      ['blobs/link', 'link', ''],
      [`blobs/${long}`, 'file', 'content'],
    ]);
  },
);

test('content that is not read is passed over, and the rest of the input is read to its end', async () => {
  const bytes = Buffer.concat([
    await packed([
      ['a', 'x'.repeat(5000)],
      ['b', 'y'],
    ]),
    Buffer.alloc(100_000),
  ]);
  let given = 0;
  const source = async function* () {
    for await (const chunk of inPieces(bytes, 700)) {
      given += chunk.length;
      yield chunk;
    }
  };
  const names: string[] = [];
  for await (const { name } of readTar(source())) names.push(name);
  expect(names).toEqual(['a', 'b']);
  expect(given).toBe(bytes.length);
});

test('cut anywhere, it is refused', async () => {
  const bytes = await packed([
    ['first', 'x'.repeat(700)],
    ['n'.repeat(130), 'second'],
  ]);
  const ends = [0, 1, 511, 512, 1000, 1211, 1212, 1536, 1600, bytes.length - 1025, bytes.length - 1024];
  for (const at of ends)
    await expect(list(bytes.subarray(0, at)), `cut at ${at}`).rejects.toThrow(
      /this is no whole tar archive: it ends/,
    );
  expect(await list(bytes.subarray(0, bytes.length - 512))).toHaveLength(2); // the second half of the mark is padding
});

test.each([
  ['a checksum that is wrong', Buffer.from(header({ 0: 'a', 124: '00000000001\0' })).fill(0x31, 10, 11)],
  ['no tar at all', Buffer.from('<html>'.repeat(200))],
  ['a size that is no number', header({ 0: 'a', 124: 'abc' })],
  ['a size beyond all limits', header({ 0: 'a', 124: Buffer.alloc(12, 0xff) })],
  ['a header of 1 GiB', header({ 0: 'a', 124: '10000000000\0', 156: 'x' })],
  [
    'a pax line longer than its header',
    Buffer.concat([header({ 124: '5\0', 156: 'x' }), Buffer.alloc(512, '99 a=')]),
  ],
  ['a pax line of no length', Buffer.concat([header({ 124: '5\0', 156: 'x' }), Buffer.alloc(512, '0 a=b')])],
  ['a negative pax size', Buffer.concat([header({ 124: '11\0', 156: 'x' }), Buffer.alloc(512, '9 size=-1')])],
])('%s is refused', async (_what, bytes) => {
  await expect(list(Buffer.concat([bytes, end]))).rejects.toThrow(/this is no whole tar archive/);
});

test('a size in base 256, as Go writes it from 8 GiB on, is read', async () => {
  const size = Buffer.alloc(12);
  size[0] = 0x80;
  size[10] = 0x02; // 512
  const bytes = Buffer.concat([header({ 0: 'big', 124: size }), Buffer.alloc(512, 'x'), end]);
  expect(await list(bytes)).toEqual([['big', 'file', 'x'.repeat(512)]]);
  const huge = Buffer.alloc(12);
  huge[0] = 0x80;
  huge[7] = 0x02; // 8 GiB: the header is read, and the content is missing
  await expect(list(Buffer.concat([header({ 0: 'big', 124: huge }), end]))).rejects.toThrow(
    'ends within an entry',
  );
});
