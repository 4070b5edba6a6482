/**
 * Pushes, deletes, pulls, evictions and collections side by side, from a seed; and what tests of a collection push and look at. Whatever
 * happened in between: no manifest lacks a blob, and at the end nothing is left over.
 */
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { GcReport } from '../../src/admin/gc-report.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { get } from './client.ts';
import { patternBlob } from './content.ts';
import { type BuiltImage, buildImage } from './images.ts';
import { startTestMirror, type TestMirror } from './mirror.ts';
import { filesUnder } from './temp-dir.ts';
import { pushBlob, send } from './upload-client.ts';
import { startFakeUpstream } from './upstream.ts';

const rules = [{ repositories: ['**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] }];

export function hostedConfig(hosted: Readonly<Record<string, unknown>> = {}) {
  return { hosted: { repositories: ['team/**'], ...hosted }, access: { rules } };
}

/** Resolves with the status of the manifest. */
export async function pushImage(
  mirror: Pick<TestMirror, 'url'>,
  name: string,
  image: BuiltImage,
  tag: string,
): Promise<number> {
  for (const { content } of image.blobs) await pushBlob(mirror.url, name, content);
  let status = 0;
  for (const { bytes, descriptor } of image.manifests) {
    const reference = descriptor.digest === image.digest ? tag : descriptor.digest;
    const headers = { 'Content-Type': descriptor.mediaType };
    const path = `/v2/${name}/manifests/${reference}`;
    status = (await send(mirror.url, 'PUT', path, { headers, body: bytes })).status;
    if (status !== 201) return status;
  }
  return status;
}

export function digestsOf(...images: readonly BuiltImage[]): Digest[] {
  return images.flatMap(({ blobs, manifests }) =>
    [...blobs, ...manifests].map(({ descriptor }) => descriptor.digest),
  );
}

export async function heldIn({ storePath }: TestMirror): Promise<Set<string>> {
  const files = await filesUnder(join(storePath, 'blobs-v1'));
  return new Set(files.map(file => `sha256:${file.slice(file.lastIndexOf('/') + 1)}`));
}

/** As the command does, without a process. */
export function askForGc({ storePath }: Pick<TestMirror, 'storePath'>, dryRun = false): Promise<GcReport> {
  return new Promise((resolve, reject) => {
    const socketPath = join(storePath, 'owner.sock');
    const asked = httpRequest({ socketPath, method: 'POST', path: '/api/v1/gc', agent: false }, response => {
      let text = '';
      response.on('data', bytes => {
        text += String(bytes);
      });
      response.on('end', () =>
        response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(text)),
      );
    });
    asked.on('error', reject).end(JSON.stringify({ dryRun }));
  });
}

/** xorshift32: the same seed, the same choices of each worker. */
class Dice {
  #state: number;

  constructor(from: number) {
    this.#state = (from * 2_654_435_761) >>> 0 || 1;
  }

  pick<T>(list: readonly T[]): T {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    this.#state >>>= 0;
    const picked = list[this.#state % list.length];
    if (picked === undefined) throw new Error('expected a list with something in it');
    return picked;
  }
}

const pool = ['a', 'b', 'c', 'd'].map(name => patternBlob(`soak ${name}`, 30_000));
const images = pool.flatMap((first, index) =>
  pool.slice(index + 1).map(second => buildImage({ layers: [first, second] })),
);
const repositories = ['team/one', 'team/two'];
const tags = ['v1', 'v2', 'v3'];

/** Every manifest that is answered has all its blobs. Only while nothing is changed. */
async function expectWhole(mirror: TestMirror): Promise<Set<Digest>> {
  const needed = new Set<Digest>();
  for (const name of repositories)
    for (const image of images) {
      const found = await get(mirror.url, `/v2/${name}/manifests/${image.digest}`);
      if (found.status === 404) continue;
      expect(found.sha256).toBe(image.digest);
      for (const digest of digestsOf(image)) needed.add(digest);
      for (const { descriptor } of image.blobs) {
        const blob = await get(mirror.url, `/v2/${name}/blobs/${descriptor.digest}`);
        expect([blob.status, blob.sha256]).toEqual([200, descriptor.digest]);
      }
    }
  return needed;
}

/** Resolves with how often each thing happened; rejects when anything is lost or left over. */
export async function soakCollection(seconds: number, seed: number): Promise<ReadonlyMap<string, number>> {
  const upstream = await startFakeUpstream();
  const [cachedImage] = images;
  if (cachedImage === undefined) throw new Error('expected an image');
  upstream.put('library/base', cachedImage, 'latest');
  const others = ['x', 'y', 'z'].map(name => buildImage({ layers: [patternBlob(`other ${name}`, 400_000)] }));
  for (const [index, image] of others.entries()) upstream.put(`library/other${index}`, image, 'latest');
  const config = {
    ...hostedConfig({ gc_grace: 0, undelete: 0, untagged_ttl: '1s' }),
    store: { max_size: '1MB', low_watermark: '50%' },
  };
  const mirror = await startTestMirror({ upstream, config });
  const statuses = new Map<string, number>();
  const count = (what: string): void => void statuses.set(what, (statuses.get(what) ?? 0) + 1);
  const pull = async (name: string, image: BuiltImage) => {
    await get(mirror.url, `/v2/library/${name}/manifests/latest`);
    for (const { descriptor } of image.blobs)
      await get(mirror.url, `/v2/library/${name}/blobs/${descriptor.digest}`);
  };
  const works: readonly ((dice: Dice) => Promise<void>)[] = [
    async dice =>
      count(`push ${await pushImage(mirror, dice.pick(repositories), dice.pick(images), dice.pick(tags))}`),
    async dice =>
      count(`push ${await pushImage(mirror, dice.pick(repositories), dice.pick(images), dice.pick(tags))}`),
    async dice => {
      const reference = dice.pick([...tags, ...images.map(({ digest }) => digest)]);
      const path = `/v2/${dice.pick(repositories)}/manifests/${reference}`;
      count(`delete ${(await send(mirror.url, 'DELETE', path)).status}`);
    },
    async () => count(`gc of ${(await askForGc(mirror)).repositories.length}`),
    async () => pull('base', cachedImage),
    async dice => {
      const index = dice.pick([0, 1, 2]);
      await pull(`other${index}`, others[index] ?? cachedImage);
    },
  ];
  const dice = Array.from({ length: 4 }, (_, worker) => new Dice(seed * 100 + worker));
  const endsAt = Date.now() + seconds * 1000;
  while (Date.now() < endsAt) {
    const roundEndsAt = Math.min(endsAt, Date.now() + 2000);
    await Promise.all(
      dice.map(async die => {
        while (Date.now() < roundEndsAt) await die.pick(works)(die);
      }),
    );
    await expectWhole(mirror);
  }
  expect(statuses.get('push 201')).toBeGreaterThan(0);
  expect(
    [...statuses.keys()].filter(what => what.startsWith('push 5') || what.startsWith('delete 5')),
  ).toEqual([]);

  for (const name of repositories)
    for (const tag of tags) await send(mirror.url, 'DELETE', `/v2/${name}/manifests/${tag}`);
  for (const name of repositories)
    for (const { digest } of images) await send(mirror.url, 'DELETE', `/v2/${name}/manifests/${digest}`);
  expect(await pushImage(mirror, 'team/one', images[3] ?? cachedImage, 'v1')).toBe(201);
  await askForGc(mirror);
  const needed = await expectWhole(mirror);
  const held = await heldIn(mirror);
  for (const digest of needed) expect(held.has(digest)).toBe(true);
  const ofTheCache = new Set<string>(digestsOf(cachedImage, ...others));
  expect(
    [...held].filter(digest => ![...needed].some(one => one === digest) && !ofTheCache.has(digest)),
  ).toEqual([]);
  return statuses;
}
