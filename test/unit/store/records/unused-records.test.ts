/** The table of all records: names and bytes without a look at the disk, the last use of each, and what goes when it is long ago. */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { BlobStore } from '../../../../src/store/blobs/blob-store.ts';
import { Records } from '../../../../src/store/records/records.ts';
import { UnusedRecords } from '../../../../src/store/records/unused-records.ts';
import { Recorder } from '../../../support/recorder.ts';
import { filesUnder } from '../../../support/temp-dir.ts';
import { alpine, descriptor, digest, latest, RecordsRig } from '../records-rig.ts';

vi.mock('node:fs/promises', { spy: true });

const dayMs = 24 * 3600_000;
const startMs = 1_700_000_000_000;
const busybox = 'docker.io/library/busybox';

beforeEach(() => {
  vi.mocked(readdir).mockClear();
});

class Rig {
  readonly clock = { ms: startMs };
  readonly recorder = new Recorder();
  readonly base: RecordsRig;
  readonly store: BlobStore;
  readonly pinned = new Set<string>();
  readonly withdrawn: string[] = [];
  records: Records;

  private constructor(base: RecordsRig) {
    this.base = base;
    this.records = this.#fresh();
    this.store = new BlobStore({ layout: base.layout, observer: this.recorder.observer });
  }

  static async create(): Promise<Rig> {
    return new Rig(await RecordsRig.create());
  }

  async restart(): Promise<void> {
    await this.records.close();
    this.records = this.#fresh();
  }

  /** Manifests are their numbers as text. */
  async pull(name: string, ...manifests: readonly number[]): Promise<void> {
    const record = await this.records.open(name);
    for (const n of manifests) {
      await this.store.put(digest(n), Buffer.from(String(n)));
      record.setManifest(descriptor(n));
      record.link(digest(n));
      record.setTag(latest, { descriptor: descriptor(n), checkedAt: this.clock.ms });
    }
    this.records.lists.write(name, { checkedAt: this.clock.ms, pieces: ['latest'] });
    await this.records.flush();
  }

  removal(ttlMs = 180 * dayMs) {
    const unused = new UnusedRecords({
      records: this.records,
      store: this.store,
      pins: { isPinned: one => this.pinned.has(one) },
      logger: this.recorder.logger,
      ttlMs,
      now: () => this.clock.ms,
      onRemove: record => this.withdrawn.push(record.name),
    });
    return unused.begin();
  }

  async held(): Promise<number[]> {
    const sizes = await Promise.all(
      [1, 2, 3].map(async n => ((await this.store.sizeOf(digest(n))) === undefined ? 0 : n)),
    );
    return sizes.filter(n => n > 0);
  }

  async bytesOnDisk(): Promise<number> {
    const root = this.base.layout.recordsFolder;
    const files = await filesUnder(root);
    const sizes = await Promise.all(files.map(async file => (await stat(join(root, file))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  #fresh(): Records {
    const { observer, logger } = this.recorder;
    return new Records({ layout: this.base.layout, observer, logger, now: () => this.clock.ms });
  }
}

describe('the names of all records', () => {
  test('cost one walk after the start and none later, however records come and go', async () => {
    const rig = await Rig.create();
    await rig.pull(busybox, 1);
    await rig.restart();
    vi.mocked(readdir).mockClear();
    expect(await rig.records.allNames()).toEqual([busybox]);
    const walk = vi.mocked(readdir).mock.calls.length;
    expect(walk).toBe(4); // records-v1, docker.io, library, busybox
    await rig.pull('ghcr.io/z', 2);
    await rig.pull(alpine, 2);
    await rig.records.open('docker.io/library/made-up');
    for (let n = 0; n < 100; n += 1) expect(await rig.records.allNames()).toHaveLength(3);
    expect(rig.records.names()).toEqual([alpine, busybox, 'ghcr.io/z']);
    expect(vi.mocked(readdir).mock.calls).toHaveLength(walk);
    expect(rig.recorder.logged).toEqual([]);
  });

  test('that came before and during the walk are there once', async () => {
    const rig = await Rig.create();
    await rig.pull(busybox, 1);
    const loading = rig.records.load();
    await rig.pull(alpine, 1);
    await loading;
    await rig.pull(alpine, 2);
    expect(await rig.records.allNames()).toEqual([alpine, busybox]);
    expect(rig.records.bytes).toBe(await rig.bytesOnDisk());
  });
});

test('bytes are those of the files, after writes, rewrites, a restart and removals', async () => {
  const rig = await Rig.create();
  await rig.pull(alpine, 1, 2);
  await rig.pull(busybox, 3);
  expect([rig.records.bytes, rig.records.bytes > 500]).toEqual([await rig.bytesOnDisk(), true]);
  const record = await rig.records.open(alpine);
  for (let n = 0; n < 2000; n += 1) record.setTag(latest, { descriptor: descriptor(n), checkedAt: n });
  rig.records.lists.write(alpine, { checkedAt: 5, pieces: ['other'] }, digest(1));
  await rig.records.flush();
  expect(rig.records.bytes).toBe(await rig.bytesOnDisk());
  await rig.restart();
  await rig.records.load();
  expect(rig.records.bytes).toBe(await rig.bytesOnDisk());
  rig.records.lists.remove(alpine, digest(1));
  await rig.records.remove(await rig.records.look(busybox));
  await rig.records.flush();
  expect(rig.records.bytes).toBe(await rig.bytesOnDisk());
});

test('the last use is the mtime of the record, written at most once a day; looking is no use', async () => {
  const rig = await Rig.create();
  await rig.pull(alpine, 1);
  await rig.restart();
  await rig.records.load();
  rig.clock.ms = startMs + 400 * dayMs;
  await rig.records.look(alpine);
  await rig.records.flush();
  const mtime = async () => (await stat(rig.base.layout.recordPath(alpine))).mtimeMs;
  const written = await mtime();
  expect(written).not.toBe(rig.clock.ms);
  for (const hours of [0, 12, 23.9, 25]) {
    rig.clock.ms = startMs + 400 * dayMs + hours * 3600_000;
    await rig.records.open(alpine);
    await rig.records.flush();
    expect(await mtime()).toBe(startMs + 400 * dayMs + (hours === 25 ? hours * 3600_000 : 0));
  }
});

describe('what is kept of a repository that was not used for longer than records_ttl', () => {
  test('goes: the record, its lists, its folder, and manifests that no other record names', async () => {
    const rig = await Rig.create();
    await rig.pull(alpine, 1, 2);
    await rig.pull(`${alpine}/nested`, 3);
    rig.clock.ms += 181 * dayMs;
    await rig.pull(busybox, 2);
    await rig.records.open(`${alpine}/nested`);
    const removal = rig.removal();
    expect(removal.isNextBefore(Infinity)).toBe(true);
    expect(await removal.removeNext()).toBe(1); // manifest 1 has one byte, manifest 2 is busybox's too
    expect(removal.isNextBefore(Infinity)).toBe(false);
    removal.end();
    expect(await rig.held()).toEqual([2, 3]);
    expect(await filesUnder(rig.base.layout.recordsFolder)).toEqual([
      'docker.io/library/alpine/nested/_record',
      'docker.io/library/alpine/nested/_tags',
      'docker.io/library/busybox/_record',
      'docker.io/library/busybox/_tags',
    ]);
    expect(rig.records.names()).toEqual([`${alpine}/nested`, busybox]);
    expect(rig.withdrawn).toEqual([alpine]);
    expect((await rig.records.open(alpine)).isLinked(digest(1))).toBe(false);
  });

  test('goes with its folder where nothing lies below it, and comes again with the next pull', async () => {
    const rig = await Rig.create();
    await rig.pull('ghcr.io/a/b', 1);
    rig.clock.ms += 181 * dayMs;
    await rig.removal().removeNext();
    expect(await readdir(rig.base.layout.recordsFolder)).toEqual([]);
    await rig.pull('ghcr.io/a/b', 2);
    await rig.restart();
    const record = await rig.records.open('ghcr.io/a/b');
    expect([record.isLinked(digest(1)), record.isLinked(digest(2))]).toEqual([false, true]);
    expect(await readdir(dirname(rig.base.layout.recordPath('ghcr.io/a/b')))).toEqual(['_record', '_tags']);
  });

  test('stays while it is pinned, used again, or younger; with 0 for ever', async () => {
    const rig = await Rig.create();
    await rig.pull(alpine, 1);
    (await rig.records.open(alpine)).pin(latest);
    await rig.pull(busybox, 2);
    rig.clock.ms += 179 * dayMs;
    expect(rig.removal().isNextBefore(Infinity)).toBe(false);
    rig.clock.ms += 2 * dayMs;
    expect(rig.removal(0).isNextBefore(Infinity)).toBe(false);
    const removal = rig.removal();
    await rig.records.open(busybox);
    expect([await removal.removeNext(), await removal.removeNext()]).toEqual([0, 0]);
    expect(rig.records.names()).toEqual([alpine, busybox]);
    expect(await rig.held()).toEqual([1, 2]);
  });

  test('keeps a manifest that is pinned, or that came to another record meanwhile', async () => {
    const rig = await Rig.create();
    await rig.pull(alpine, 1, 2, 3);
    await rig.pull(busybox, 3);
    rig.clock.ms += 181 * dayMs;
    rig.pinned.add(digest(1));
    await rig.records.open(busybox);
    const removal = rig.removal();
    (await rig.records.open('ghcr.io/new')).setManifest(descriptor(2));
    expect(await removal.removeNext()).toBe(0);
    expect(await rig.held()).toEqual([1, 2, 3]);
    expect(rig.records.names()).toEqual([busybox, 'ghcr.io/new']);
  });

  test('is due before a blob only when that was used more than a day later: uses are written once a day', async () => {
    const rig = await Rig.create();
    await rig.pull(alpine, 1);
    const usedMs = rig.clock.ms;
    rig.clock.ms += 181 * dayMs;
    const removal = rig.removal();
    expect([usedMs - 1, usedMs + dayMs, usedMs + dayMs + 1].map(ms => removal.isNextBefore(ms))).toEqual([
      false,
      false,
      true,
    ]);
  });
});
