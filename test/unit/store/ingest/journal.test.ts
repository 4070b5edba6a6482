/** The journal beside a partial: what is believed of it, and that nothing in the file can do more harm than cost bytes. */
import { readdirSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import {
  type BelievedPartial,
  IngestJournal,
  type JournalPaths,
  type JournalState,
  readBootId,
  readJournal,
  Segments,
  writeJournal,
} from '../../../../src/store/ingest/journal.ts';
import { Recorder } from '../../../support/recorder.ts';
import { filesUnder, tempDir } from '../../../support/temp-dir.ts';

const digest = digestOf(Buffer.from('content'));
const state: JournalState = {
  digest,
  size: 5000,
  source: 'docker.io/library/alpine',
  written: [
    [0, 3000],
    [4000, 5000],
  ],
  synced: [[0, 1000]],
};

async function paths(): Promise<JournalPaths & { folder: string }> {
  const folder = await tempDir();
  let temps = 0;
  return { folder, journalPath: join(folder, 'journal'), tempPath: () => join(folder, `tmp-${++temps}`) };
}

/** What is believed of a journal with that text. */
async function believed(text: string, bootId = 'boot-1'): Promise<BelievedPartial | undefined> {
  const at = await paths();
  await writeFile(at.journalPath, text);
  return readJournal(at, digest, bootId);
}

function textOf(changes: Record<string, unknown>): string {
  return JSON.stringify({ version: 1, bootId: 'boot-1', ...state, ...changes });
}

test('in the same boot everything written is believed, in another one only what was synced', async () => {
  const at = await paths();
  await writeJournal(at, state, 'boot-1');
  const same = await readJournal(at, digest, 'boot-1');
  expect(same?.segments.toJSON()).toEqual(state.written);
  expect(same?.size).toBe(5000);
  const other = await readJournal(at, digest, 'boot-2');
  expect(other?.segments.toJSON()).toEqual(state.synced);
  expect(other?.size).toBe(5000);
});

test('where the boot cannot be told only what was synced is believed, even if it could not be told before', async () => {
  const at = await paths();
  await writeJournal(at, state, '');
  expect((await readJournal(at, digest, ''))?.segments.toJSON()).toEqual(state.synced);
});

test('a size that the upstream hides stays unknown', async () => {
  const at = await paths();
  await writeJournal(at, { ...state, size: undefined }, 'boot-1');
  const found = await readJournal(at, digest, 'boot-1');
  expect(found?.size).toBeUndefined();
  expect(found?.segments.toJSON()).toEqual(state.written);
});

test('no journal is no partial', async () => {
  expect(await readJournal(await paths(), digest, 'boot-1')).toBeUndefined();
});

test('a folder in the place of a journal is moved away, and is no journal', async () => {
  const at = await paths();
  await mkdir(at.journalPath);
  expect(await readJournal(at, digest, 'boot-1')).toBeUndefined();
  await writeJournal(at, state, 'boot-1');
  expect((await readJournal(at, digest, 'boot-1'))?.size).toBe(state.size);
});

test('a second write replaces the first and leaves nothing beside it', async () => {
  const at = await paths();
  await writeJournal(at, state, 'boot-1');
  await writeJournal(at, { ...state, written: [[0, 10]] }, 'boot-1');
  expect((await readJournal(at, digest, 'boot-1'))?.segments.toJSON()).toEqual([[0, 10]]);
  expect(await filesUnder(at.folder)).toEqual(['journal']);
});

test('a write that fails leaves the journal before it, and no temporary file', async () => {
  const at = await paths();
  await writeJournal(at, state, 'boot-1');
  const before = await readFile(at.journalPath, 'utf8');
  const broken = { ...at, journalPath: join(at.folder, 'no', 'such', 'folder') };
  await expect(writeJournal(broken, state, 'boot-1')).rejects.toMatchObject({ code: 'ENOENT' });
  expect(await readFile(at.journalPath, 'utf8')).toBe(before);
  expect(await filesUnder(at.folder)).toEqual(['journal']);
});

test.each([
  ['of another blob', { digest: digestOf(Buffer.from('other')) }],
  ['of a version to come', { version: 2 }],
  ['without a version', { version: undefined }],
  ['with a negative size', { size: -1 }],
  ['with a size in words', { size: '5000' }],
  ['with half a byte', { size: 0.5 }],
  ['without its list', { written: undefined }],
  ['with a list that is none', { written: 'all' }],
  [
    'with segments that overlap',
    {
      written: [
        [0, 10],
        [5, 20],
      ],
    },
  ],
  ['with a segment of three', { written: [[0, 10, 20]] }],
  ['with a segment in words', { written: [['0', '10']] }],
  ['with a segment that is none', { written: [7] }],
])('a journal %s is not believed', async (_what, changes) => {
  expect(await believed(textOf({}))).toBeDefined();
  expect(await believed(textOf(changes))).toBeUndefined();
});

test('what lies beyond the size is not believed', async () => {
  const found = await believed(textOf({ size: 4500 }));
  expect(found?.segments.toJSON()).toEqual([
    [0, 3000],
    [4000, 4500],
  ]);
});

test('a torn journal is an empty partial, wherever it is torn', async () => {
  const whole = textOf({});
  const at = await paths();
  for (let length = 0; length < whole.length; length += 7) {
    await writeFile(at.journalPath, whole.slice(0, length));
    expect(await readJournal(at, digest, 'boot-1')).toBeUndefined();
  }
});

test('whatever JSON stands there, it is either not believed or sorted segments within the size', async () => {
  const at = await paths();
  const list = fc.array(fc.tuple(fc.integer({ min: -5, max: 99 }), fc.integer({ min: -5, max: 99 })));
  const size = fc.option(fc.integer({ min: -5, max: 99 }), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.json(), fc.record({ size, written: list }).map(textOf)), async text => {
      await writeFile(at.journalPath, text);
      const found = await readJournal(at, digest, 'boot-1');
      let last = -1;
      for (const [start, end] of found?.segments.toJSON() ?? []) {
        expect(start).toBeGreaterThan(last);
        expect(end).toBeGreaterThan(start);
        last = end;
      }
      if (found?.size !== undefined) expect(last).toBeLessThanOrEqual(found.size);
    }),
    { numRuns: 200 },
  );
});

describe('the journal of a running transfer', () => {
  const mebibyte = 1024 * 1024;

  /** `duringWrite` runs during each write of the journal: it is told how many have begun. */
  async function running(duringWrite: (progress: (bytes: number) => void, writes: number) => void) {
    const at = await paths();
    const handle = await open(join(at.folder, 'part'), 'w');
    onTestFinished(() => handle.close());
    const segments = new Segments();
    const recorder = new Recorder();
    /** Temporary files that were there when another write began. */
    const unfinished: string[] = [];
    let writes = 0;
    const progress = (bytes: number): void => {
      const end = segments.endFrom(0);
      segments.add(end, end + bytes);
      journal.progressed(handle, bytes, undefined, segments);
    };
    const { journal } = await IngestJournal.open({
      ...at,
      tempPath: () => {
        unfinished.push(...readdirSync(at.folder).filter(name => name.startsWith('tmp-')));
        const begun = writes;
        writes += 1;
        if (begun > 0) queueMicrotask(() => duringWrite(progress, begun)); // the first one is that of an empty journal
        return at.tempPath();
      },
      digest,
      source: 'docker.io/library/alpine',
      bootId: 'boot-1',
      observer: recorder.observer,
    });
    const journaled = async () => (await readJournal(at, digest, 'boot-1'))?.segments.bytes;
    return { journal, progress, journaled, unfinished, writes: () => writes - 1 };
  }

  test('is written again at once for what came during a write, although no chunk follows', async () => {
    const { journal, progress, journaled, writes } = await running((more, begun) => {
      if (begun < 3) more(mebibyte);
    });
    progress(mebibyte);
    await journal.settle();
    expect(await journaled()).toBe(3 * mebibyte);
    expect(writes()).toBe(3);
  });

  test('is not written again for less than a MiB, until that is full', async () => {
    const { journal, progress, journaled, writes } = await running((more, begun) => {
      if (begun === 1) more(mebibyte - 1);
    });
    progress(mebibyte);
    await journal.settle();
    expect([await journaled(), writes()]).toEqual([mebibyte, 1]);
    progress(1);
    await journal.settle();
    expect([await journaled(), writes()]).toEqual([2 * mebibyte, 2]);
  });

  test('has one write at a time', async () => {
    const { unfinished, journal, progress, writes } = await running((more, begun) => {
      if (begun < 5) for (const _chunk of [1, 2, 3]) more(mebibyte);
    });
    progress(mebibyte);
    await journal.settle();
    expect(writes()).toBe(5);
    expect(unfinished).toEqual([]);
  });
});

test('the boot has a name that stays the same', async () => {
  const id = await readBootId();
  expect(id).toBe(await readBootId());
  expect(id).not.toMatch(/\s/);
});
