/** The lines of a record: when they are written, and what a crash or a damaged disk can do to them. */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { formatChecksummedLine, parseChecksummedLine } from '../../../../src/store/disk-files.ts';
import { RecordFile } from '../../../../src/store/records/record-file.ts';
import type { RepositoryRecord } from '../../../../src/store/records/repository-record.ts';
import { StoreError } from '../../../../src/store/store-error.ts';
import { filesUnder } from '../../../support/temp-dir.ts';
import { alpine, descriptor, digest, everything, latest, minuteMs, RecordsRig } from '../records-rig.ts';

describe('the file of a record', () => {
  test('gets what is set in one turn in one write, in order, and nothing that is known already', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    for (let n = 0; n < 100; n += 1) record.link(digest(n));
    record.link(digest(5));
    record.setManifest(descriptor(1));
    record.setManifest(descriptor(1));
    record.unlink(digest(5));
    record.unlink(digest(5));
    record.removeManifest(digest(9));
    record.removeTag(latest);
    await record.flush();
    expect(await rig.lines()).toEqual([
      ...Array.from({ length: 100 }, (_, n) => ({ type: 'link', digest: digest(n) })),
      { type: 'manifest', descriptor: descriptor(1) },
      { type: 'unlink', digest: digest(5) },
    ]);
    expect((await stat(rig.path)).mode & 0o007).toBe(0);
  });

  test('gets what is set while it is written, after that', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    record.link(digest(1));
    const first = record.flush();
    await Promise.resolve();
    record.link(digest(2));
    await first;
    record.link(digest(3));
    await record.flush();
    expect(await rig.lines()).toEqual([1, 2, 3].map(n => ({ type: 'link', digest: digest(n) })));
  });

  test('a tag that is merely confirmed is written once in ten minutes; one that moved at once', async () => {
    const rig = await RecordsRig.create();
    let record = await rig.open();
    const set = (n: number, minutes: number) =>
      record.setTag(latest, { descriptor: descriptor(n), checkedAt: minutes * minuteMs });
    const written = async () => {
      await record.flush();
      return (await rig.lines()).length;
    };
    set(1, 0);
    set(1, 1);
    set(1, 9.99);
    expect([await written(), record.tag(latest)?.checkedAt]).toEqual([1, 9.99 * minuteMs]);
    set(1, 10);
    expect(await written()).toBe(2);
    set(2, 11);
    expect(await written()).toBe(3);
    set(2, 20);
    expect(await written()).toBe(3);
    record = await rig.reopen();
    expect(record.tag(latest)).toEqual({ descriptor: descriptor(2), checkedAt: 11 * minuteMs });
    set(2, 20.9);
    expect(await written()).toBe(3);
    set(2, 21);
    expect(await written()).toBe(4);
    record.removeTag(latest);
    set(2, 21.1);
    expect(await written()).toBe(6);
  });

  test('torn at any byte by a crash loses its last line and nothing else, and is gone on with', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    for (const n of [1, 2, 3]) record.link(digest(n));
    await record.flush();
    const whole = await readFile(rig.path);
    const lastStart = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
    for (let end = lastStart + 1; end < whole.length - 1; end += 1) {
      await writeFile(rig.path, whole.subarray(0, end));
      const torn = await rig.reopen();
      expect([1, 2, 3].map(n => torn.isLinked(digest(n)))).toEqual([true, true, false]);
      torn.link(digest(4));
      const next = await rig.reopen();
      expect([1, 2, 3, 4].map(n => next.isLinked(digest(n)))).toEqual([true, true, false, true]);
    }
    expect(rig.recorder.logged[0]).toBe(
      `warn skipped damaged lines of a record {"repository":"${alpine}","damaged":1}`,
    );
  });

  test('torn right before the end of a line loses nothing, now or later', async () => {
    const rig = await RecordsRig.create();
    await rig.place(formatChecksummedLine({ type: 'link', digest: digest(1) }).trimEnd());
    const record = await rig.open();
    expect([record.isLinked(digest(1)), rig.recorder.logged]).toEqual([true, []]);
    record.unlink(digest(1));
    record.link(digest(2));
    expect(everything(await rig.reopen()).links).toEqual(new Set([digest(2)]));
    expect(rig.recorder.logged).toEqual([]);
  });

  test('with any damaged byte loses that line and at most the one after it', async () => {
    const rig = await RecordsRig.create();
    const lines = [1, 2, 3, 4].map(n => formatChecksummedLine({ type: 'link', digest: digest(n) }));
    const whole = Buffer.from(lines.join(''));
    const at = fc.nat(whole.length - 1);
    await fc.assert(
      fc.asyncProperty(at, fc.integer({ min: 1, max: 255 }), async (position, change) => {
        const damaged = Buffer.from(whole);
        damaged[position] = (damaged[position] ?? 0) ^ change;
        await rig.place(damaged.toString('latin1'));
        const record = await rig.reopen();
        const line = Math.floor(position / (whole.length / 4));
        const isLineEnd = position === (line + 1) * (whole.length / 4) - 1;
        const lost = [1, 2, 3, 4].filter(n => !record.isLinked(digest(n)));
        expect(lost).toEqual(isLineEnd && line < 3 ? [line + 1, line + 2] : [line + 1]);
      }),
    );
  });

  test.each([
    { what: 'no object', value: 7 },
    { what: 'null', value: null },
    { what: 'no type', value: { digest: digest(1) } },
    { what: 'a link to something that is no digest', value: { type: 'link', digest: 'sha256:../../x' } },
    {
      what: 'a tag that is none',
      value: { type: 'tag', tag: '../x', descriptor: descriptor(1), checkedAt: 1 },
    },
    { what: 'a tag without a time', value: { type: 'tag', tag: 'x', descriptor: descriptor(1) } },
    {
      what: 'a descriptor without a size',
      value: { type: 'manifest', descriptor: { ...descriptor(1), size: '1' } },
    },
    { what: 'a descriptor of nothing', value: { type: 'manifest', descriptor: null } },
    { what: 'an untag of nothing', value: { type: 'untag' } },
  ])('a whole line that says nonsense ($what) is skipped and counted', async ({ value }) => {
    const rig = await RecordsRig.create();
    await rig.place(
      formatChecksummedLine(value) + formatChecksummedLine({ type: 'link', digest: digest(2) }),
    );
    const record = await rig.open();
    expect(everything(record)).toEqual({
      tags: new Map(),
      manifests: new Map(),
      links: new Set([digest(2)]),
    });
    expect(rig.recorder.logged).toEqual([expect.stringContaining('"damaged":1')]);
  });
});

describe('compaction', () => {
  /** Waste of some 100 KB: one link made and undone, over and over. */
  async function waste(record: RepositoryRecord, rounds = 450): Promise<void> {
    for (let n = 0; n < rounds; n += 1) {
      record.link(digest(1000));
      record.unlink(digest(1000));
    }
    await record.flush();
  }

  test('leaves what counts, and goes on from there', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    record.setTag(latest, { descriptor: descriptor(1), checkedAt: 5 });
    record.setManifest(descriptor(1));
    record.link(digest(2));
    await waste(record);
    record.link(digest(3));
    await record.flush();
    const before = everything(record);
    expect(await rig.lines()).toEqual([
      { type: 'link', digest: digest(2) },
      { type: 'manifest', descriptor: descriptor(1) },
      { type: 'tag', tag: 'latest', descriptor: descriptor(1), checkedAt: 5 },
      { type: 'link', digest: digest(3) },
    ]);
    expect(everything(await rig.reopen())).toEqual(before);
    expect(await filesUnder(rig.layout.ingestFolder)).toEqual([]);
  });

  test('keeps lines of types that only a later version knows, and they are not damaged', async () => {
    const rig = await RecordsRig.create();
    const foreign = { type: 'later', verdict: 'private', until: 12345 };
    const other = { type: 'lease', digest: digest(7) };
    await rig.place(
      formatChecksummedLine(foreign) +
        formatChecksummedLine({ type: 'link', digest: digest(2) }) +
        formatChecksummedLine(other),
    );
    const record = await rig.open();
    await waste(record);
    expect(await rig.lines()).toEqual([foreign, other, { type: 'link', digest: digest(2) }]);
    expect(rig.recorder.logged).toEqual([]);
    await waste(await rig.reopen());
    expect(await rig.lines()).toEqual([foreign, other, { type: 'link', digest: digest(2) }]);
  });

  test('is not done for a file that is small, or large with reason', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    await waste(record, 50);
    expect(await rig.lines()).toHaveLength(100);
    for (let n = 0; n < 1000; n += 1) record.link(digest(n));
    await record.flush();
    const { ino } = await stat(rig.path);
    for (let n = 1001; n < 1100; n += 1) {
      record.link(digest(n));
      if (n % 20 === 0) await record.flush();
    }
    await record.flush();
    expect((await stat(rig.path)).ino).toBe(ino);
  });

  test('that fails loses nothing of what was set meanwhile', async () => {
    const rig = await RecordsRig.create();
    const record = await rig.open();
    await rm(rig.layout.ingestFolder, { recursive: true }); // no place for the temp file
    for (let n = 0; n < 450; n += 1) {
      record.link(digest(1000));
      record.unlink(digest(1000));
    }
    await Promise.resolve();
    record.link(digest(1)); // while the first ones are written
    await record.flush();
    expect(rig.recorder.events.length).toBeGreaterThan(0);
    await mkdir(rig.layout.ingestFolder);
    expect((await rig.reopen()).isLinked(digest(1))).toBe(true);
  });
});

test('a checksummed line gives back any value, and nothing for any other text', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(), (value, at) => {
      const line = formatChecksummedLine(value);
      expect(line.indexOf('\n')).toBe(line.length - 1);
      const text = line.slice(0, -1);
      expect(parseChecksummedLine(text)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(parseChecksummedLine(text.slice(0, at % text.length))).toBeUndefined();
      expect(parseChecksummedLine(`${text} `)).toBeUndefined();
    }),
  );
  fc.assert(
    fc.property(fc.string(), text => {
      expect(parseChecksummedLine(text)).toBeUndefined();
    }),
  );
});

test('a record that could not be read for want of descriptors is read the next time, with all it says', async () => {
  const rig = await RecordsRig.create();
  (await rig.open()).link(digest(1));
  await rig.records.close();
  const read = vi.spyOn(RecordFile.prototype, 'read');
  onTestFinished(() => read.mockRestore());
  read.mockRejectedValueOnce(new StoreError('record', 'EMFILE', 'injected'));
  expect([...(await rig.reopen()).links()]).toEqual([]);
  expect([...(await rig.open()).links()]).toEqual([digest(1)]);
});
