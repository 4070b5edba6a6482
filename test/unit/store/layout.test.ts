import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf, isDigest } from '../../../src/oci/digest.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { filesUnder, tempDir } from '../../support/temp-dir.ts';
import { titled } from '../../support/titles.ts';
import { digests, rawNames } from '../oci/arbitraries.ts';

const digest = digestOf(Buffer.from('a'));

async function layoutWith(text: string): Promise<string> {
  const path = await tempDir();
  await writeFile(join(path, 'layout'), text);
  return path;
}

describe('opening', () => {
  test('makes the store where there is none, for its owner and group alone', async () => {
    const path = join(await tempDir(), 'not', 'there');
    const layout = await StoreLayout.open(path);
    expect(await filesUnder(path)).toEqual(['id', 'layout']);
    expect(JSON.parse(await readFile(join(path, 'layout'), 'utf8'))).toEqual({ version: 1 });
    for (const folder of [path, layout.blobsFolder, layout.ingestFolder, layout.recordsFolder])
      expect((await stat(folder)).mode & 0o007).toBe(0);
  });

  test('once more finds the same id; another store has another one', async () => {
    const path = await tempDir();
    const { id } = await StoreLayout.open(path);
    expect(id).toMatch(/^[0-9a-f]{16}$/);
    expect((await StoreLayout.open(path)).id).toBe(id);
    expect((await StoreLayout.open(await tempDir())).id).not.toBe(id);
  });

  test.each(['', 'not an id\n', '0123'])('makes a damaged id (%j) anew, once', async text => {
    const path = await tempDir();
    await StoreLayout.open(path);
    await writeFile(join(path, 'id'), text);
    const { id } = await StoreLayout.open(path);
    expect(id).toMatch(/^[0-9a-f]{16}$/);
    expect((await StoreLayout.open(path)).id).toBe(id);
  });

  test('a path from the working folder stands for an absolute one', async () => {
    const path = await tempDir();
    expect((await StoreLayout.open(relative(process.cwd(), path))).path).toBe(path);
  });

  test.each([
    { text: '{"version":2}', got: 'version 2', hint: 'newer Cistern' },
    { text: '{"version":0}', got: 'version 0', hint: 'newer Cistern' },
    { text: '{"version":"1"}', got: 'is damaged', hint: 'remove that file and start again' },
    { text: '{}', got: 'is damaged', hint: 'remove that file and start again' },
    { text: 'null', got: 'is damaged', hint: 'remove that file and start again' },
    { text: '', got: 'is damaged', hint: 'remove that file and start again' },
    { text: 'left: [right]', got: 'is damaged', hint: 'remove that file and start again' },
  ])('refuses a layout file that says $text, and touches nothing', async ({ text, got, hint }) => {
    const path = await layoutWith(text);
    await expect(StoreLayout.open(path)).rejects.toMatchObject({
      code: 'LAYOUT',
      message: expect.stringMatching(new RegExp(`${path}.*${got}.*${hint}`)),
    });
    expect([await filesUnder(path), await readFile(join(path, 'layout'), 'utf8')]).toEqual([
      ['layout'],
      text,
    ]);
    await expect(stat(join(path, 'blobs-v1'))).rejects.toThrow('ENOENT');
  });

  test('where a file is in the way fails with what the system says', async () => {
    const path = await tempDir();
    await writeFile(join(path, 'file'), '');
    await expect(StoreLayout.open(join(path, 'file', 'data'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    await mkdir(join(path, 'data'));
    await writeFile(join(path, 'data', 'blobs-v1'), '');
    await expect(StoreLayout.open(join(path, 'data'))).rejects.toMatchObject({ code: 'EEXIST' });
  });

  test('an existing folder keeps its mode', async () => {
    const path = await tempDir();
    await chmod(path, 0o755);
    await StoreLayout.open(path);
    expect((await stat(path)).mode & 0o777).toBe(0o755);
  });
});

describe('paths', () => {
  test('of a blob, its part and its journal are made of the digest', async () => {
    const layout = await StoreLayout.open(await tempDir());
    const sha512 = digestOf(Buffer.from('a'), 'sha512');
    const relativeTo = (path: string) => relative(layout.path, path);
    const hex = digest.slice(7);
    expect(relativeTo(layout.blobPath(digest))).toBe(`blobs-v1/sha256/${hex.slice(0, 2)}/${hex}`);
    expect(relativeTo(layout.blobPath(sha512))).toBe(
      `blobs-v1/sha512/${sha512.slice(7, 9)}/${sha512.slice(7)}`,
    );
    expect(relativeTo(layout.partPath(digest))).toBe(`ingest-v1/sha256-${hex}.part`);
    expect(relativeTo(layout.journalPath(digest))).toBe(`ingest-v1/sha256-${hex}.json`);
  });

  test('of ingests tell their digest back', async () => {
    const layout = await StoreLayout.open(await tempDir());
    fc.assert(
      fc.property(digests, one => {
        expect(layout.parseIngestName(basename(layout.partPath(one)))).toEqual({ kind: 'part', digest: one });
        expect(layout.parseIngestName(basename(layout.journalPath(one)))).toEqual({
          kind: 'journal',
          digest: one,
        });
      }),
    );
  });

  test.each([
    { name: 'tmp-anything', kind: 'temp' },
    { name: `sha256-${'a'.repeat(63)}.part`, kind: 'foreign' },
    { name: `sha256-${'A'.repeat(64)}.part`, kind: 'foreign' },
    { name: `sha512-${'a'.repeat(64)}.json`, kind: 'foreign' },
    { name: `sha256-${'a'.repeat(64)}.part.bak`, kind: 'foreign' },
    { name: `md5-${'a'.repeat(32)}.part`, kind: 'foreign' },
    { name: 'notes.txt', kind: 'foreign' },
    { name: '', kind: 'foreign' },
  ])('a name in ingest-v1 like "$name" is $kind', async ({ name, kind }) => {
    const layout = await StoreLayout.open(await tempDir());
    expect(layout.parseIngestName(name)).toEqual({ kind });
  });

  test('of temp files are new each time, known as our own, and foreign to another process', async () => {
    const path = await tempDir();
    const [layout, other] = [await StoreLayout.open(path), await StoreLayout.open(path)];
    const temps = [layout.tempPath(), layout.tempPath(), other.tempPath()];
    expect(new Set(temps).size).toBe(3);
    expect(temps.map(temp => layout.isOwnTemp(basename(temp)))).toEqual([true, true, false]);
    expect(temps.every(temp => layout.parseIngestName(basename(temp)).kind === 'temp')).toBe(true);
  });
});

describe('the path of a record', () => {
  test('is made of the canonical name, one for each', async () => {
    const layout = await StoreLayout.open(await tempDir());
    const at = (name: string) => relative(layout.path, layout.recordPath(name));
    expect(at('docker.io/library/alpine')).toBe('records-v1/docker.io/library/alpine/_record');
    expect(at('localhost:5000/a')).toBe('records-v1/localhost:5000/a/_record');
    fc.assert(
      fc.property(rawNames, rawNames, (a, b) => {
        expect(at(a)).toBe(`records-v1/${a}/_record`);
        if (a !== b) expect(at(a).startsWith(`${at(b)}/`)).toBe(false); // no record is in the way of another
      }),
    );
  });

  test.each(
    titled([
      '..',
      'a/../b',
      '../../etc/passwd',
      '/etc/passwd',
      'a//b',
      'a/',
      '',
      '.',
      'a/./b',
      'a/..b',
      'a/b..c',
      'A/b',
      '_record',
      'a/_record',
      'a\\b',
      'a\0b',
      'a b',
      'a%2fb',
      'é',
      'a'.repeat(256),
      `${'a/'.repeat(600)}a`,
    ]),
  )('is refused for %s', async (_title, name) => {
    const layout = await StoreLayout.open(await tempDir());
    expect(() => layout.recordPath(name)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }));
  });

  test('never leaves DATA, whatever the text', async () => {
    const layout = await StoreLayout.open(await tempDir());
    const nasty = fc.string({
      unit: fc.constantFrom('.', '/', '..', '../', 'a', '\\', '\0', '%2e', ':', '_', '\n'),
    });
    fc.assert(
      fc.property(fc.oneof(nasty, fc.string()), text => {
        let path: string;
        try {
          path = layout.recordPath(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 'NAME_INVALID' });
          return;
        }
        expect(relative(layout.recordsFolder, path)).toBe(`${text}/_record`); // nothing was resolved away
      }),
    );
  });

  test('and no text passes for a digest that a path is made of', () => {
    const texts = ['sha256:../../etc', `sha256:${'a'.repeat(63)}/`, `sha256:${'a'.repeat(64)}\n`, 'sha256:'];
    expect(texts.filter((text): text is Digest => isDigest(text))).toEqual([]);
  });
});
