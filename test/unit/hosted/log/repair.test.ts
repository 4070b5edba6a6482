/** Repair of a damaged log: from its right lines, its copy, and the manifests in the store. Real files. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import type { HostedChange } from '../../../../src/hosted/log/hosted-log.ts';
import { type LogRepair, repairLog } from '../../../../src/hosted/log/repair.ts';
import { type Digest, digestOf } from '../../../../src/oci/digest.ts';
import { ociManifest } from '../../../../src/oci/media-type.ts';
import { BlobStore } from '../../../../src/store/blobs/blob-store.ts';
import { app, everythingOf, HostedLogRig, tag } from '../../../support/hosted-log.ts';

class RepairRig {
  readonly logs: HostedLogRig;
  readonly store: BlobStore;
  readonly others = new Set<Digest>();
  readonly images: Digest[] = [];
  readonly layers: Digest[] = [];

  private constructor(logs: HostedLogRig) {
    this.logs = logs;
    this.store = new BlobStore({ layout: logs.layout, observer: logs.recorder.observer });
  }

  /** Images with tags `v0` to `v4`, pushed one after the other; all of them moved `latest`. */
  static async create(): Promise<RepairRig> {
    const rig = new RepairRig(await HostedLogRig.create());
    const { log } = await rig.logs.start();
    for (let n = 0; n < 5; n += 1) await log.commit(app, await rig.image(n));
    await log.close();
    return rig;
  }

  async image(n: number): Promise<HostedChange[]> {
    const cause = { at: n, how: 'push' } as const;
    const [config, layer] = [Buffer.from('{}'), Buffer.from(`layer ${n}`)];
    const blobs = [config, layer].map(bytes => ({ bytes, digest: digestOf(bytes), size: bytes.length }));
    for (const { digest, bytes } of blobs) await this.store.put(digest, bytes);
    const descriptors = blobs.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest,
      size,
    }));
    const text = {
      schemaVersion: 2,
      mediaType: ociManifest,
      config: descriptors[0],
      layers: [descriptors[1]],
    };
    const bytes = Buffer.from(JSON.stringify(text));
    const digest = digestOf(bytes);
    await this.store.put(digest, bytes);
    this.images.push(digest);
    this.layers.push(digestOf(layer));
    return [
      ...blobs.map(blob => ({ type: 'link', digest: blob.digest, size: blob.size, ...cause }) as const),
      {
        type: 'manifest',
        descriptor: { mediaType: ociManifest, digest, size: bytes.length },
        names: blobs.map(blob => blob.digest),
        tags: [tag(`v${n}`), tag('latest')],
        ...cause,
      },
    ];
  }

  copyPath(): string {
    return join(dirname(this.logs.path()), '_copy');
  }

  /** Damages a byte in the middle of that line (the first is the header). */
  async damageLine(path: string, line: number): Promise<void> {
    const lines = (await readFile(path, 'utf8')).split('\n');
    lines[line] = (lines[line] ?? '').replace('"at"', '"ax"');
    await writeFile(path, lines.join('\n'));
  }

  async repair(isOnlyClosed = true): Promise<LogRepair> {
    expect([...(await this.logs.start()).log.closed().keys()]).toEqual([app]);
    const { logs } = this.logs;
    const isOfOthers = (digest: Digest) => this.others.has(digest);
    const options = { logs, store: this.store, isOfOthers, isOnlyClosed, now: () => this.logs.nowMs };
    return repairLog(app, options, new AbortController().signal);
  }

  async read() {
    const { log } = await this.logs.start();
    expect(log.closed().size).toBe(0);
    const read = await log.readRepository(app);
    if (read === undefined) throw new Error('expected the repository');
    return read;
  }

  async digests(): Promise<Digest[]> {
    return Array.from((await this.read()).manifests(), ({ descriptor }) => descriptor.digest);
  }
}

test.each([
  ['damaged in the middle', (rig: RepairRig) => rig.damageLine(rig.logs.path(), 3)],
  [
    'cut',
    async (rig: RepairRig) => writeFile(rig.logs.path(), (await readFile(rig.logs.path())).subarray(0, 700)),
  ],
  ['empty', (rig: RepairRig) => writeFile(rig.logs.path(), '')],
  ['missing', (rig: RepairRig) => rm(rig.logs.path())],
])('a log that is %s comes back whole from its copy', async (_name, damage) => {
  const rig = await RepairRig.create();
  const before = everythingOf(await rig.read());
  await damage(rig);
  const damaged = await readFile(rig.logs.path()).catch(() => undefined);
  const report = await rig.repair();
  expect(report).toMatchObject({
    manifests: 5,
    tags: 6,
    found: [],
    lostTags: [],
    doubtfulTags: [],
    mayMissTags: false,
  });
  expect(everythingOf(await rig.read())).toEqual(before);
  if (damaged !== undefined) expect(await readFile(report.damagedLog)).toEqual(damaged);
});

test('lines that are damaged in log and copy: the manifest is found by its digest, its tags are named', async () => {
  const rig = await RepairRig.create();
  for (const path of [rig.logs.path(), rig.copyPath()]) await rig.damageLine(path, 3);
  rig.others.add(rig.images[2] as Digest); // it is named by our own log, whatever others know
  const report = await rig.repair();
  expect(report).toMatchObject({
    manifests: 5,
    tags: 5,
    found: [rig.images[2]],
    lostTags: ['v2'],
    doubtfulTags: ['latest'],
    mayMissTags: false,
  });
  const read = await rig.read();
  expect(read.tags()).toEqual(['latest', 'v0', 'v1', 'v3', 'v4']);
  expect(read.link(rig.layers[2] as Digest)).toMatchObject({ size: 7, how: 'repair' });
});

test('without the log and its copy, all manifests that belong to no other repository come back', async () => {
  const rig = await RepairRig.create();
  await rm(rig.copyPath());
  await writeFile(rig.logs.path(), (await readFile(rig.logs.path())).subarray(0, 80));
  rig.others.add(rig.images[4] as Digest);
  const report = await rig.repair();
  expect([report.found.toSorted(), report.manifests]).toEqual([rig.images.slice(0, 4).sort(), 4]);
  expect([report.tags, report.mayMissTags]).toEqual([0, true]);
  expect((await rig.digests()).sort()).toEqual(rig.images.slice(0, 4).sort());
});

test('while other repositories are closed too, only manifests over blobs of this one are taken', async () => {
  const rig = await RepairRig.create();
  await rm(rig.copyPath());
  const stranger = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      config: { mediaType: 'a/b', digest: digestOf(Buffer.from('x')), size: 1 },
      layers: [],
    }),
  );
  await rig.store.put(digestOf(stranger), stranger);
  const text = (await readFile(rig.logs.path(), 'utf8')).split('\n');
  await writeFile(rig.logs.path(), `${text.slice(0, 3).join('\n')}\n`); // header and two images
  const report = await rig.repair(false);
  expect(report.found.toSorted()).toEqual(rig.images.slice(2).sort());
  expect(await rig.digests()).not.toContain(digestOf(stranger));
});

test('what a collection had dropped does not come back', async () => {
  const rig = await RepairRig.create();
  const { log } = await rig.logs.start();
  await log.commit(app, [{ type: 'drop-manifest', digest: rig.images[1] as Digest, at: 9, how: 'collect' }]);
  await log.commit(app, await rig.image(5));
  await log.close();
  for (const path of [rig.logs.path(), rig.copyPath()]) await rig.damageLine(path, 3);
  await rig.repair();
  expect((await rig.digests()).sort()).toEqual(rig.images.filter((_, n) => n !== 1).sort());
});
