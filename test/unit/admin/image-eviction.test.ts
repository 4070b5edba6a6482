/**
 * Evictions against a model: whatever is evicted, in whatever order, what remains in the records is as complete as before,
 * pins hold, and nothing stays on disk that no record needs.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LocalAdmin } from '../../../src/admin/local-admin.ts';
import { StoreContent } from '../../../src/admin/store-content.ts';
import { TagCommands } from '../../../src/admin/tag-commands.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { parseTag } from '../../../src/oci/name.ts';
import { BlobStore } from '../../../src/store/blobs/blob-store.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { readImageTree, readManifest } from '../../../src/store/records/image-tree.ts';
import { PinnedBlobs } from '../../../src/store/records/pinned-blobs.ts';
import { Records } from '../../../src/store/records/records.ts';
import { type BuiltImage, buildImage, buildIndex } from '../../support/images.ts';
import { Recorder } from '../../support/recorder.ts';
import { filesUnder, makeTempDir, tempDir } from '../../support/temp-dir.ts';

const images = [['a', 'b'], ['a', 'c'], ['b', 'c', 'd'], ['d']].map(layers => buildImage({ layers }));
const [first = buildImage(), second = buildImage(), third = buildImage()] = images;
const indexes = [
  [first, second],
  [second, third],
].map(children => buildIndex({ children: children.map(image => ({ image })) }));
const contents: readonly BuiltImage[] = [...images, ...indexes];
const repositories = ['docker.io/library/x', 'docker.io/library/y', 'ghcr.io/z/z'];
const tags = ['one', 'two'];

class EvictionRig {
  readonly recorder = new Recorder();
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly pins: PinnedBlobs;
  readonly records: Records;
  readonly admin: LocalAdmin;
  readonly forgotten: Digest[] = [];
  readonly hosted = new Set<Digest>();

  constructor(layout: StoreLayout) {
    const { observer, logger } = this.recorder;
    this.layout = layout;
    this.store = new BlobStore({ layout, observer });
    this.pins = new PinnedBlobs({ store: this.store, logger });
    this.pins.loaded();
    this.records = new Records({
      layout,
      observer,
      logger,
      listener: this.pins,
    });
    this.admin = new LocalAdmin({
      records: this.records,
      store: this.store,
      pins: this.pins,
      logger,
      hosts: { keys: new Map([['docker.io', 'docker.io']]), fallback: 'docker.io' },
      registry: undefined,
      importFolder: undefined,
      bundles: {
        content: new StoreContent({
          hosts: { keys: new Map() },
          records: this.records,
          store: this.store,
          hosted: () => Promise.resolve(undefined),
        }),
        async *digests() {},
        importBundle: () => Promise.reject(new Error('no bundle is imported here')),
      },
      tags: new TagCommands({
        hosts: { keys: new Map() },
        records: this.records,
        store: this.store,
        hosted: undefined,
        registry: () => undefined,
        ready: () => Promise.resolve(),
        logger,
      }),
      isActive: () => false,
      isHosted: digest => this.hosted.has(digest),
      blobRemoved: digest => void this.forgotten.push(digest),
      manifestRemoved: digest => void this.forgotten.push(digest),
      scrub: () => Promise.reject(new Error('not asked here')),
      repair: () => Promise.reject(new Error('not asked here')),
      stats: () => Promise.reject(new Error('not asked here')),
      flush: () => Promise.resolve(),
      ready: () => Promise.resolve(),
    });
  }

  async hold(repository: string, tag: string | undefined, image: BuiltImage): Promise<void> {
    const record = await this.records.open(repository);
    for (const { descriptor, bytes } of image.manifests) {
      await this.store.put(descriptor.digest, bytes);
      record.setManifest(descriptor);
    }
    for (const { descriptor, content } of image.blobs)
      await this.store.put(descriptor.digest, content.slice(0, content.size));
    if (tag !== undefined) record.setTag(parseTag(tag), { descriptor: image.descriptor, checkedAt: 1 });
  }

  async onDisk(): Promise<Set<string>> {
    const files = await filesUnder(this.layout.blobsFolder);
    return new Set(files.map(file => `sha256:${file.split('/').at(-1)}`));
  }

  /** All that any record's manifests and tags name. */
  async needed(): Promise<Set<string>> {
    const needed = new Set<string>();
    for (const name of await this.records.allNames()) {
      const record = await this.records.open(name);
      const tagged = Array.from(record.tags(), ([, { descriptor }]) => descriptor);
      for (const manifest of [...record.manifests(), ...tagged]) {
        const tree = await readImageTree(one => readManifest(this.store, one), manifest);
        if (tree === undefined) throw new Error(`${name} has lost ${manifest.digest}`);
        for (const digest of [...tree.manifests.keys(), ...tree.blobs.keys()]) needed.add(digest);
        expect([...tree.missing]).toEqual([]);
      }
    }
    return needed;
  }

  async tagsLeft(): Promise<string[]> {
    const left: string[] = [];
    for (const name of repositories)
      for (const [tag] of (await this.records.open(name)).tags()) left.push(`${name}:${tag}`);
    return left.sort();
  }
}

const anyRepository = fc.constantFrom(...repositories);
const anyHeld = fc.record({
  repository: anyRepository,
  tag: fc.option(fc.constantFrom(...tags), { nil: undefined }),
  image: fc.oneof(fc.constant(0), fc.nat(contents.length - 1)),
});
const anyImage = fc.record({
  repository: anyRepository,
  reference: fc.oneof(
    fc.constantFrom(...tags).map(tag => `:${tag}`),
    fc.nat(contents.length - 1).map(n => `@${contents[n]?.digest}`),
  ),
});

test('nothing that is needed goes, nothing that isn’t stays, and the bytes told are those of the disk', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyHeld, { minLength: 1, maxLength: 7 }),
      fc.array(anyImage, { maxLength: 2 }),
      fc.array(anyImage, { minLength: 1, maxLength: 5 }),
      async (held, pinned, evicted) => {
        const { path, remove } = await makeTempDir();
        try {
          const rig = new EvictionRig(await StoreLayout.open(path));
          for (const { repository, tag, image } of held)
            await rig.hold(repository, tag, contents[image] ?? first);
          const signal = new AbortController().signal;
          for (const { repository, reference } of pinned)
            await rig.admin.pin(`${repository}${reference}`).catch(() => undefined);
          const kept = new Set<string>(rig.pins.digests);
          for (const { repository, reference } of evicted) {
            const name = `${repository}${reference}`;
            const [before, tagsBefore] = [await sizes(rig), await rig.tagsLeft()];
            const report = await rig.admin.evict(name, signal).catch(() => undefined);
            const [after, tagsAfter] = [await sizes(rig), await rig.tagsLeft()];
            expect(sum(before) - sum(after)).toBe(report?.freedBytes ?? 0);
            const gone = (report?.tags ?? []).map(tag => `${repository}:${tag}`);
            expect(tagsAfter).toEqual(tagsBefore.filter(tag => !gone.includes(tag)));
            expect(new Set(after.keys())).toEqual(await rig.needed());
            for (const digest of kept) expect(after.has(digest)).toBe(true);
          }
          for (const digest of rig.forgotten) expect(await rig.onDisk()).not.toContain(digest);
        } finally {
          await remove();
        }
      },
    ),
    { numRuns: 60 },
  );
});

async function sizes(rig: EvictionRig): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for await (const { digest, size } of rig.store.scan()) found.set(digest, size);
  return found;
}

function sum(numbers: ReadonlyMap<string, number>): number {
  return [...numbers.values()].reduce((total, number) => total + number, 0);
}

test('what a hosted repository needs stays in the store, by image and by digest', async () => {
  const rig = new EvictionRig(await StoreLayout.open(await tempDir()));
  const image = images[0];
  if (image === undefined) throw new Error('expected an image');
  await rig.hold('docker.io/library/x', 'one', image);
  const layer = image.blobs[0]?.descriptor.digest;
  if (layer === undefined) throw new Error('expected a blob');
  rig.hosted.add(layer);
  const { signal } = new AbortController();
  await expect(rig.admin.evict(layer, signal)).rejects.toMatchObject({ code: 'DENIED' });
  expect((await rig.admin.evict('docker.io/library/x:one', signal)).kept).toBe(1);
  expect(await rig.store.sizeOf(layer)).toBe(image.blobs[0]?.content.size);
});
