/** A file that is cached and hosted: which side counts it, and what becomes of it when the last hosted link goes. Real store and logs. */
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { BlobHolds } from '../../../src/content/blob-holds.ts';
import { ContentOwners } from '../../../src/content/content-owners.ts';
import type { HostedChange } from '../../../src/hosted/log/hosted-log.ts';
import type { LoggedRepositories } from '../../../src/hosted/log/logged-repositories.ts';
import type { ReferenceCounts } from '../../../src/hosted/log/reference-counts.ts';
import { EmbeddedLru } from '../../../src/lru/index/embedded-lru.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { parseRepository } from '../../../src/oci/name.ts';
import { BlobStore } from '../../../src/store/blobs/blob-store.ts';
import { Records } from '../../../src/store/records/records.ts';
import { app, HostedLogRig } from '../../support/hosted-log.ts';

const alpine = 'docker.io/library/alpine';
const bytes = Buffer.from('the bytes of a layer');
const layer = digestOf(bytes);
const other = parseRepository('other/app');

class OwnersRig {
  readonly store: BlobStore;
  readonly records: Records;
  readonly lru: EmbeddedLru;
  readonly holds = new BlobHolds();
  readonly owners: ContentOwners;
  readonly removed: Digest[] = [];
  readonly log: LoggedRepositories;
  readonly references: ReferenceCounts;
  manifestBytes = 0;
  mayRemove = true;

  private constructor(rig: HostedLogRig, started: Awaited<ReturnType<HostedLogRig['start']>>) {
    const { observer, logger } = rig.recorder;
    const { layout } = rig;
    this.log = started.log;
    this.references = started.references;
    this.store = new BlobStore({ layout, observer });
    this.records = new Records({ layout, observer, logger });
    this.lru = new EmbeddedLru({ now: () => rig.nowMs, mayHold: digest => !this.references.has(digest) });
    this.owners = new ContentOwners({
      lru: this.lru,
      holds: this.holds,
      store: this.store,
      records: this.records,
      logger,
      isHosted: digest => this.references.has(digest),
      mayRemove: () => this.mayRemove,
      account: count => {
        this.manifestBytes += count;
      },
    });
    this.owners.listen({ removed: digest => void this.removed.push(digest) });
    this.references.listen({
      gained: digest => this.owners.gained(digest),
      lost: (digest, size) => this.owners.lost(digest, size),
    });
  }

  /** The layer is in the store and counted as cached. */
  static async create(): Promise<OwnersRig> {
    const logs = await HostedLogRig.create();
    const rig = new OwnersRig(logs, await logs.start());
    await rig.store.put(layer, bytes);
    rig.lru.add(layer, bytes.length);
    return rig;
  }

  async commit(type: 'link' | 'unlink', name = app): Promise<void> {
    const cause = { at: 1, how: 'push' } as const;
    const change: HostedChange =
      type === 'link'
        ? { type, digest: layer, size: bytes.length, ...cause }
        : { type, digest: layer, ...cause };
    await this.log.commit(name, [change]);
    await this.owners.settled();
  }

  /** Where it counts, and whether it is there. */
  async counts() {
    const size = await this.store.sizeOf(layer);
    return { cached: this.lru.bytes, hosted: this.references.bytes, isHeld: size === bytes.length };
  }
}

const [cached, hosted, gone] = [
  { cached: bytes.length, hosted: 0, isHeld: true },
  { cached: 0, hosted: bytes.length, isHeld: true },
  { cached: 0, hosted: 0, isHeld: false },
];

test('a link moves a cached blob to the hosted side, once, however many repositories link it', async () => {
  const rig = await OwnersRig.create();
  expect(await rig.counts()).toEqual(cached);
  await rig.commit('link');
  await rig.commit('link', other);
  expect(await rig.counts()).toEqual(hosted);
  expect(await rig.lru.coldest(10)).toEqual([]);
  await rig.commit('unlink');
  expect(await rig.counts()).toEqual(hosted);
});

test('the last link goes: cache again where a cached record links it, and evictable', async () => {
  const rig = await OwnersRig.create();
  (await rig.records.open(alpine)).link(layer);
  await rig.commit('link');
  await rig.commit('unlink');
  expect(await rig.counts()).toEqual(cached);
  expect((await rig.lru.coldest(1)).map(({ digest }) => digest)).toEqual([layer]);
  expect(rig.removed).toEqual([]);
});

test('the last link goes, and no record knows it: the file goes too', async () => {
  const rig = await OwnersRig.create();
  await rig.commit('link');
  await rig.commit('unlink');
  expect(await rig.counts()).toEqual(gone);
  expect(rig.removed).toEqual([layer]);
});

test('a manifest that the cache has too is counted by one side', async () => {
  const rig = await OwnersRig.create();
  const record = await rig.records.open(alpine);
  record.setManifest({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: layer,
    size: bytes.length,
  });
  rig.lru.remove(layer);
  rig.owners.manifestStored(layer, bytes.length);
  rig.owners.manifestStored(layer, bytes.length);
  expect(rig.manifestBytes).toBe(bytes.length);
  await rig.commit('link');
  rig.owners.manifestStored(layer, bytes.length);
  expect([rig.manifestBytes, rig.references.bytes]).toEqual([0, bytes.length]);
  await rig.commit('unlink');
  expect([rig.manifestBytes, rig.references.bytes, rig.lru.bytes]).toEqual([bytes.length, 0, 0]);
});

test('what is held for a link, or must not be removed now, becomes cache instead of going', async () => {
  const rig = await OwnersRig.create();
  await rig.commit('link');
  const release = await rig.holds.hold(layer);
  await rig.commit('unlink');
  expect(await rig.counts()).toEqual(cached);
  await rig.commit('link');
  expect(await rig.counts()).toEqual(hosted);
  release();
  rig.mayRemove = false;
  await rig.commit('unlink');
  expect(await rig.counts()).toEqual(cached);
});

test('an eviction and a link of one blob: the blob goes before the link looks, or stays', async () => {
  for (const linksFirst of [true, false]) {
    const rig = await OwnersRig.create();
    const link = async () => {
      const release = await rig.holds.hold(layer);
      const found = await rig.store.sizeOf(layer);
      if (found !== undefined) await rig.commit('link');
      release();
      return found;
    };
    const evict = () => rig.owners.removeFree(layer);
    const evicting = linksFirst ? undefined : evict();
    const linking = link();
    const freed = await (evicting ?? turn().then(evict));
    const found = await linking;
    expect([found === undefined, freed !== undefined]).toEqual(linksFirst ? [false, false] : [true, true]);
    expect(await rig.counts()).toEqual(linksFirst ? hosted : gone);
  }
});

test('nothing that is hosted can be removed or indexed', async () => {
  const rig = await OwnersRig.create();
  await rig.commit('link');
  expect(await rig.owners.removeFree(layer)).toBeUndefined();
  rig.lru.add(layer, bytes.length);
  rig.lru.beginLoading();
  rig.lru.load([{ digest: layer, size: bytes.length, lastUseMs: 1 }]);
  rig.lru.touch(layer);
  rig.lru.endLoading();
  expect(await rig.counts()).toEqual(hosted);
});
