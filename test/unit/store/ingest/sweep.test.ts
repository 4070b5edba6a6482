import { mkdir, readFile, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../../src/oci/digest.ts';
import { removePartial, sweepIngests } from '../../../../src/store/ingest/sweep.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import { Recorder } from '../../../support/recorder.ts';
import { filesUnder, tempDir } from '../../../support/temp-dir.ts';

const [a, b, c] = [
  digestOf(Buffer.from('a')),
  digestOf(Buffer.from('b'), 'sha512'),
  digestOf(Buffer.from('c')),
];
const nowMs = 1_700_000_000_000;
const dayMs = 86_400_000;

async function createRig() {
  const layout = await StoreLayout.open(await tempDir());
  const recorder = new Recorder();
  return {
    layout,
    recorder,
    left: () => filesUnder(layout.ingestFolder),
    litter: (name: string) => writeFile(join(layout.ingestFolder, name), 'litter'),
    partial: async (digest: Digest, ageMs: number, bytes = 100) => {
      await writeFile(layout.partPath(digest), Buffer.alloc(bytes));
      await writeFile(layout.journalPath(digest), '{}');
      const seconds = (nowMs - ageMs) / 1000;
      await utimes(layout.partPath(digest), seconds, seconds);
    },
    sweep: (active: readonly Digest[] = []) =>
      sweepIngests({
        layout,
        observer: recorder.observer,
        partialTtlMs: 7 * dayMs,
        now: () => nowMs,
        isActive: digest => active.includes(digest),
      }),
  };
}

function nameOf(digest: Digest, end: 'part' | 'json'): string {
  return `${digest.replace(':', '-')}.${end}`;
}

describe('a sweep', () => {
  test('of an empty folder finds nothing', async () => {
    const { sweep, recorder } = await createRig();
    expect([await sweep(), recorder.events]).toEqual([[], []]);
  });

  test.each([
    { litter: 'tmp-0123456789ab-1', what: 'a temp file of a process that died' },
    { litter: nameOf(a, 'part'), what: 'a part without a journal' },
    { litter: nameOf(a, 'json'), what: 'a journal without a part' },
    { litter: nameOf(b, 'part'), what: 'a part of the other algorithm' },
    { litter: `sha256-${'0'.repeat(63)}.part`, what: 'a name that is nearly one of ours' },
    { litter: 'notes.txt', what: 'a foreign file' },
    { litter: '.hidden', what: 'a hidden file' },
  ])('removes $what', async ({ litter: name }) => {
    const { litter, left, sweep } = await createRig();
    await litter(name);
    expect([await sweep(), await left()]).toEqual([[], []]);
  });

  test('leaves partials with their journals, and tells their bytes and when they last grew', async () => {
    const { left, partial, recorder, sweep } = await createRig();
    await partial(a, dayMs, 100);
    await partial(b, 2 * dayMs, 200);
    const found = await sweep();
    expect(found.toSorted((one, other) => one.bytes - other.bytes)).toEqual([
      { digest: a, bytes: 100, lastUseMs: nowMs - dayMs },
      { digest: b, bytes: 200, lastUseMs: nowMs - 2 * dayMs },
    ]);
    expect(await left()).toHaveLength(4);
    expect(recorder.events).toEqual([]);
  });

  test('removes partials that were unused for longer than partial_ttl, with their journals', async () => {
    const { left, partial, sweep } = await createRig();
    await partial(a, 7 * dayMs);
    await partial(c, 7 * dayMs + 1000);
    expect((await sweep()).map(({ digest }) => digest)).toEqual([a]);
    expect(await left()).toEqual([nameOf(a, 'json'), nameOf(a, 'part')]);
  });

  test('leaves alone what is being filled, in whatever state it is, and does not list it', async () => {
    const { litter, left, partial, sweep } = await createRig();
    await litter(nameOf(a, 'part')); // its journal comes in a moment
    await litter(nameOf(b, 'json'));
    await partial(c, 100 * dayMs);
    expect(await sweep([a, b, c])).toEqual([]);
    expect(await left()).toEqual(
      [nameOf(a, 'part'), nameOf(b, 'json'), nameOf(c, 'json'), nameOf(c, 'part')].sort(),
    );
  });

  test('leaves the temp files of this very process, and only those', async () => {
    const { layout, left, litter, sweep } = await createRig();
    const own = layout.tempPath();
    await writeFile(own, 'on its way');
    await litter('tmp-');
    await sweep();
    expect((await left()).map(name => join(layout.ingestFolder, name))).toEqual([own]);
  });

  test('what can not be removed is told and costs nothing else', async () => {
    const { layout, left, litter, partial, recorder, sweep } = await createRig();
    for (const name of ['lost+found', 'tmp-folder', nameOf(a, 'part')])
      await mkdir(join(layout.ingestFolder, name, 'in it'), { recursive: true });
    await litter('notes.txt');
    await partial(b, dayMs);
    await partial(c, 8 * dayMs);
    expect((await sweep()).map(({ digest }) => digest)).toEqual([b]);
    expect(await left()).toEqual([nameOf(b, 'json'), nameOf(b, 'part')]);
    expect(recorder.events).toEqual(['storeError unlink', 'storeError unlink', 'storeError unlink']);
    expect((await stat(join(layout.ingestFolder, 'lost+found', 'in it'))).isDirectory()).toBe(true);
  });

  test('a folder in the place of a partial is no partial', async () => {
    const { layout, partial, sweep } = await createRig();
    await partial(a, 8 * dayMs);
    await partial(c, 8 * dayMs);
    await unlink(layout.partPath(a));
    await mkdir(layout.partPath(a));
    await utimes(layout.partPath(a), 1, 1);
    expect((await sweep()).map(({ digest, lastUseMs }) => [digest, lastUseMs])).toEqual([]);
  });

  test('without a folder to sweep fails as a scan', async () => {
    const { layout, recorder } = await createRig();
    await rm(layout.ingestFolder, { recursive: true });
    const { observer } = recorder;
    const options = { layout, observer, partialTtlMs: 0, now: () => nowMs, isActive: () => false };
    await expect(sweepIngests(options)).rejects.toMatchObject({ operation: 'scan', code: 'ENOENT' });
  });
});

describe('removing a partial', () => {
  test('takes its journal along and tells the bytes that are free now', async () => {
    const { layout, left, litter, partial, recorder } = await createRig();
    await partial(a, 0, 123);
    await litter(nameOf(c, 'json'));
    const { observer } = recorder;
    expect(await removePartial({ layout, observer }, a)).toBe(123);
    expect(await removePartial({ layout, observer }, a)).toBe(0);
    expect(await removePartial({ layout, observer }, c)).toBe(0);
    expect([await left(), recorder.events]).toEqual([[], []]);
  });

  test('never touches a blob of that digest', async () => {
    const { layout, partial, recorder } = await createRig();
    await partial(a, 0);
    await mkdir(join(layout.blobPath(a), '..'), { recursive: true });
    await writeFile(layout.blobPath(a), 'a');
    await removePartial({ layout, observer: recorder.observer }, a);
    expect(await readFile(layout.blobPath(a), 'utf8')).toBe('a');
  });
});
