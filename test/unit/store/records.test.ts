/** What is known of repositories survives a restart, whatever happened to the lines in between. */
import { appendFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { parseTag } from '../../../src/oci/name.ts';
import { formatGuardedLine, parseGuardedLine } from '../../../src/store/guarded-line.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { Records } from '../../../src/store/records.ts';
import type { RepositoryRecord } from '../../../src/store/repository-record.ts';
import { Recorder } from '../../support/recorder.ts';
import { filesUnder, tempDir } from '../../support/temp-dir.ts';

const alpine = 'docker.io/library/alpine';
const minuteMs = 60_000;

class Rig {
  readonly layout: StoreLayout;
  readonly recorder = new Recorder();
  records: Records;

  private constructor(layout: StoreLayout) {
    this.layout = layout;
    this.records = this.#fresh();
  }

  static async create(): Promise<Rig> {
    return new Rig(await StoreLayout.open(await tempDir()));
  }

  get path(): string {
    return this.layout.recordPath(alpine);
  }

  open(): Promise<RepositoryRecord> {
    return this.records.open(alpine);
  }

  /** As another process would find it. */
  async reopen(): Promise<RepositoryRecord> {
    await this.records.close();
    this.records = this.#fresh();
    return this.open();
  }

  async lines(): Promise<unknown[]> {
    return (await readFile(this.path, 'utf8')).split('\n').slice(0, -1).map(parseGuardedLine);
  }

  async place(text: string): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true });
    await writeFile(this.path, text);
  }

  #fresh(): Records {
    const { observer, logger } = this.recorder;
    return new Records({ layout: this.layout, observer, logger });
  }
}

function digest(n: number): Digest {
  return digestOf(Buffer.from(String(n)));
}

function descriptor(n: number, mediaType = 'application/vnd.oci.image.manifest.v1+json'): Descriptor {
  return { mediaType, digest: digest(n), size: n };
}

function everything(record: RepositoryRecord) {
  return {
    tags: new Map(record.tags()),
    manifests: new Map(Array.from(record.manifests(), one => [one.digest, one])),
    links: new Set(record.links()),
  };
}

const latest = parseTag('latest');

describe('a record', () => {
  test('that is not there is empty, and reading it makes no file', async () => {
    const rig = await Rig.create();
    const record = await rig.open();
    expect(everything(record)).toEqual({ tags: new Map(), manifests: new Map(), links: new Set() });
    expect([record.tag(latest), record.manifest(digest(1)), record.isLinked(digest(1))]).toEqual([
      undefined,
      undefined,
      false,
    ]);
    await rig.records.close();
    expect(await filesUnder(rig.layout.recordsFolder)).toEqual([]);
  });

  test('is opened once, also by many at the same time', async () => {
    const rig = await Rig.create();
    const opened = await Promise.all([rig.open(), rig.open(), rig.open()]);
    expect(new Set(opened).size).toBe(1);
    expect(await rig.open()).toBe(opened[0]);
  });

  test('whose name could leave the folder is refused, each time', async () => {
    const rig = await Rig.create();
    for (let n = 0; n < 2; n += 1)
      await expect(rig.records.open('../a')).rejects.toMatchObject({ code: 'NAME_INVALID' });
    await rig.records.close();
  });

  test('has at once what was set, and after a restart too', async () => {
    const rig = await Rig.create();
    const record = await rig.open();
    record.setTag(latest, { descriptor: descriptor(1), checkedAt: 5 });
    record.setManifest(descriptor(1));
    record.link(digest(2));
    const expected = {
      tags: new Map([[latest, { descriptor: descriptor(1), checkedAt: 5 }]]),
      manifests: new Map([[digest(1), descriptor(1)]]),
      links: new Set([digest(2)]),
    };
    expect(everything(record)).toEqual(expected);
    expect(everything(await rig.reopen())).toEqual(expected);
  });

  test('after any operations and restarts is what a plain model is', async () => {
    const n = fc.nat(3);
    const tag = fc.constantFrom('latest', '1', 'v2').map(parseTag);
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('tag' as const), tag, n, steps: fc.nat(3) }),
      fc.record({ kind: fc.constantFrom('untag' as const), tag }),
      fc.record({ kind: fc.constantFrom('manifest', 'forget', 'link', 'unlink'), n }),
      fc.record({ kind: fc.constantFrom('restart' as const, 'flush' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async operations => {
        const rig = await Rig.create();
        let record = await rig.open();
        let nowMs = 0;
        const tags = new Map<string, { descriptor: Descriptor; checkedAt: number }>();
        const manifests = new Map<Digest, Descriptor>();
        const links = new Set<Digest>();
        for (const one of operations) {
          if (one.kind === 'tag') {
            nowMs += one.steps * 10 * minuteMs; // each confirmation that comes later than that is written
            const entry = { descriptor: descriptor(one.n), checkedAt: nowMs };
            record.setTag(one.tag, entry);
            tags.set(one.tag, entry);
          } else if (one.kind === 'untag') {
            record.removeTag(one.tag);
            tags.delete(one.tag);
          } else if (one.kind === 'restart') record = await rig.reopen();
          else if (one.kind === 'flush') await record.flush();
          else if (one.kind === 'manifest') {
            record.setManifest(descriptor(one.n));
            manifests.set(digest(one.n), descriptor(one.n));
          } else if (one.kind === 'forget') {
            record.removeManifest(digest(one.n));
            manifests.delete(digest(one.n));
          } else if (one.kind === 'link') {
            record.link(digest(one.n));
            links.add(digest(one.n));
          } else {
            record.unlink(digest(one.n));
            links.delete(digest(one.n));
          }
          expect(everything(record)).toEqual({ tags, manifests, links });
        }
        expect(everything(await rig.reopen())).toEqual({ tags, manifests, links });
        expect([rig.recorder.events, rig.recorder.logged]).toEqual([[], []]);
        await rm(rig.layout.path, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });
});

describe('the file of a record', () => {
  test('gets what is set in one turn in one write, in order, and nothing that is known already', async () => {
    const rig = await Rig.create();
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
    const rig = await Rig.create();
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
    const rig = await Rig.create();
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
    const rig = await Rig.create();
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
    const rig = await Rig.create();
    await rig.place(formatGuardedLine({ type: 'link', digest: digest(1) }).trimEnd());
    const record = await rig.open();
    expect([record.isLinked(digest(1)), rig.recorder.logged]).toEqual([true, []]);
    record.unlink(digest(1));
    record.link(digest(2));
    expect(everything(await rig.reopen()).links).toEqual(new Set([digest(2)]));
    expect(rig.recorder.logged).toEqual([]);
  });

  test('with any damaged byte loses that line and at most the one after it', async () => {
    const rig = await Rig.create();
    const lines = [1, 2, 3, 4].map(n => formatGuardedLine({ type: 'link', digest: digest(n) }));
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
    const rig = await Rig.create();
    await rig.place(formatGuardedLine(value) + formatGuardedLine({ type: 'link', digest: digest(2) }));
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
    const rig = await Rig.create();
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
    const rig = await Rig.create();
    const visibility = { type: 'visibility', verdict: 'private', until: 12345 };
    const pin = { type: 'pin', digest: digest(7) };
    await rig.place(
      formatGuardedLine(visibility) +
        formatGuardedLine({ type: 'link', digest: digest(2) }) +
        formatGuardedLine(pin),
    );
    const record = await rig.open();
    await waste(record);
    expect(await rig.lines()).toEqual([visibility, pin, { type: 'link', digest: digest(2) }]);
    expect(rig.recorder.logged).toEqual([]);
    await waste(await rig.reopen());
    expect(await rig.lines()).toEqual([visibility, pin, { type: 'link', digest: digest(2) }]);
  });

  test('is not done for a file that is small, or large with reason', async () => {
    const rig = await Rig.create();
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
    const rig = await Rig.create();
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

describe('a disk that fails', () => {
  test('to write is reported and logged, never thrown; the record goes on in memory and later on disk', async () => {
    const rig = await Rig.create();
    const record = await rig.open();
    await mkdir(rig.path, { recursive: true }); // a folder where the file belongs
    record.link(digest(1));
    record.setTag(latest, { descriptor: descriptor(1), checkedAt: 1 });
    await record.flush();
    expect([record.isLinked(digest(1)), rig.recorder.events]).toEqual([true, ['storeError record']]);
    expect(rig.recorder.logged).toEqual([
      expect.stringMatching(/^warn a record could not be written .*alpine/),
    ]);
    await rm(rig.path, { recursive: true });
    record.link(digest(2));
    expect((await rig.reopen()).isLinked(digest(2))).toBe(true);
  });

  test('to read makes the record count as empty, and says so', async () => {
    const rig = await Rig.create();
    await mkdir(rig.path, { recursive: true });
    const record = await rig.open();
    expect(everything(record).links.size).toBe(0);
    expect(rig.recorder.events).toEqual(['storeError record']);
    expect(rig.recorder.logged).toEqual([expect.stringMatching(/^warn a record could not be read .*alpine/)]);
  });
});

describe('all records', () => {
  test('are named by their folders, nested ones too; other files are none', async () => {
    const rig = await Rig.create();
    const names = [alpine, 'docker.io/library', 'ghcr.io/a/b/c', 'localhost:5000/x', 'team'];
    for (const name of names) (await rig.records.open(name)).link(digest(1));
    await rig.records.open('docker.io/library/never-set');
    await rig.records.flush();
    await appendFile(`${rig.layout.recordsFolder}/notes.txt`, 'foreign');
    const found: string[] = [];
    for await (const name of rig.records.names()) found.push(name);
    expect(found.sort()).toEqual(names.toSorted());
  });

  test('of a store without their folder are none', async () => {
    const rig = await Rig.create();
    await rm(rig.layout.recordsFolder, { recursive: true });
    for await (const name of rig.records.names()) expect.unreachable(name);
  });

  test('are written at the end, each in its own file', async () => {
    const rig = await Rig.create();
    for (const name of ['a/b', 'a/c']) (await rig.records.open(name)).link(digest(1));
    await rig.records.close();
    await rig.records.close();
    expect(await filesUnder(rig.layout.recordsFolder)).toEqual(['a/b/_record', 'a/c/_record']);
  });
});

test('a guarded line gives back any value, and nothing for any other text', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(), (value, at) => {
      const line = formatGuardedLine(value);
      expect(line.indexOf('\n')).toBe(line.length - 1);
      const text = line.slice(0, -1);
      expect(parseGuardedLine(text)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(parseGuardedLine(text.slice(0, at % text.length))).toBeUndefined();
      expect(parseGuardedLine(`${text} `)).toBeUndefined();
    }),
  );
  fc.assert(
    fc.property(fc.string(), text => {
      expect(parseGuardedLine(text)).toBeUndefined();
    }),
  );
});
