/** A page of images: rows are described while the walk goes on, in its order, and none is begun after the page has failed. */
import { expect, test } from 'vitest';
import type { ImageRow } from '../../../../src/http/api/schema/images.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { ociManifest } from '../../../../src/oci/media-type.ts';
import { HeldRepositories } from '../../../../src/overview/held/held-repositories.ts';
import type { HeldRepository } from '../../../../src/overview/held/held-repository.ts';
import { ImageList } from '../../../../src/overview/images/image-list.ts';
import { operatorCaller } from '../../../../src/registry/caller.ts';
import { deferred } from '../../../support/gates.ts';
import { heldRepository, mirroredNames } from '../../../support/held-repository.ts';

const digest = digestOf(Buffer.from('a manifest'));
const names = Array.from({ length: 40 }, (_, at) => `docker.io/team/app-${String(at).padStart(2, '0')}`);

function rowOf(image: string): ImageRow {
  return {
    image,
    repository: image.slice(0, image.indexOf(':')),
    upstream: 'docker.io',
    tag: 'latest',
    digest,
    mediaType: ociManifest,
    kind: 'image',
    platforms: [],
    complete: true,
    heldBytes: 1,
    neededBytes: 1,
    ownBytes: null,
    sharedBytes: null,
    since: null,
    checkedAt: null,
    freshness: 'fresh',
    lastUsedAt: null,
    pinned: false,
  };
}

class GatedRepositories extends HeldRepositories {
  readonly opened: string[] = [];
  readonly #beforeOpen: (name: string) => Promise<void>;

  constructor(beforeOpen: (name: string) => Promise<void>) {
    super(mirroredNames(names, async () => true));
    this.#beforeOpen = beforeOpen;
  }

  override async open(name: string): Promise<HeldRepository> {
    this.opened.push(name);
    await this.#beforeOpen(name);
    return heldRepository(name, digest);
  }
}

interface Gates {
  beforeOpen?(name: string): Promise<void>;
  beforeRow?(name: string): Promise<void>;
}

function rig({ beforeOpen = async () => {}, beforeRow = async () => {} }: Gates) {
  const repositories = new GatedRepositories(beforeOpen);
  const begun: string[] = [];
  const ended: string[] = [];
  const describe = async ({ name }: HeldRepository) => {
    begun.push(name);
    await beforeRow(name).finally(() => ended.push(name));
    return { row: rowOf(`${name}:latest`), tree: undefined, missing: undefined };
  };
  const hosts = { keys: new Map([['docker.io', 'docker.io']]), fallback: 'docker.io' };
  const content = { manifest: async () => undefined };
  const list = new ImageList({ hosts, repositories, content, rows: { describe } });
  const stop = new AbortController();
  const page = (n: number) => list.page({ n }, operatorCaller, stop.signal);
  return { begun, ended, opened: repositories.opened, page, stop };
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise(resolve => setImmediate(resolve));
}

test('a row is described while the next repository is opened, and rows stand in the order of the walk', async () => {
  const [first, last] = [deferred(), deferred()];
  const { page, ended } = rig({
    beforeOpen: async name => {
      if (name === names[1]) await first.promise; // opens only when the first row has begun
    },
    beforeRow: async name => {
      if (name === names[0]) {
        first.resolve();
        await last.promise;
      }
      if (name === names[4]) last.resolve();
    },
  });
  const { rows, next } = await page(5);
  expect(rows.map(({ repository }) => repository)).toEqual(names.slice(0, 5));
  expect(next).toBe(`${names[4]}:latest`);
  expect(ended.at(-1)).not.toBe(names[4]); // the first row ended after others
});

test('eight rows are described at once, while the walk goes on to the end of the page', async () => {
  const gate = deferred();
  const { page, begun, opened } = rig({ beforeRow: () => gate.promise });
  const answer = page(20);
  await expect.poll(() => opened.length).toBe(21);
  await turns(5);
  expect(begun).toEqual(names.slice(0, 8));
  gate.resolve();
  expect((await answer).rows).toHaveLength(20);
});

test('the walk fails: the page fails with its error when the running rows have ended, and no other is begun', async () => {
  const gate = deferred();
  const { page, begun, ended } = rig({
    beforeOpen: async name => {
      if (name === names[12]) throw new Error('a damaged log');
    },
    beforeRow: () => gate.promise,
  });
  let failure: unknown;
  const answer = page(20).catch(error => {
    failure = error;
  });
  await expect.poll(() => begun.length).toBe(8);
  await turns(5);
  expect([failure, ended]).toEqual([undefined, []]);
  gate.resolve();
  await answer;
  expect(failure).toMatchObject({ message: 'a damaged log' });
  expect([begun, ended]).toEqual([names.slice(0, 8), names.slice(0, 8)]);
});

test('a row fails: the walk ends, the page fails with the error of the row', async () => {
  const failed = deferred();
  const { page, opened, begun } = rig({
    beforeOpen: async name => {
      if (name === names[2]) await failed.promise;
    },
    beforeRow: async name => {
      if (name !== names[1]) return;
      setImmediate(failed.resolve);
      throw new Error('no descriptors left');
    },
  });
  await expect(page(20)).rejects.toThrow('no descriptors left');
  expect(opened).toEqual(names.slice(0, 3));
  expect(begun).toEqual(names.slice(0, 2));
});

test('the client goes: the page ends with the reason, and rows that wait are not begun', async () => {
  const gate = deferred();
  const { page, begun, opened, stop } = rig({ beforeRow: () => gate.promise });
  const answer = page(20);
  await expect.poll(() => opened.length).toBe(21);
  stop.abort(new Error('the client went away'));
  gate.resolve();
  await expect(answer).rejects.toThrow('the client went away');
  expect(begun).toEqual(names.slice(0, 8));
});
