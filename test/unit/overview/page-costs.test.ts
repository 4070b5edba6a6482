/**
 * What a page of a list costs, as counts: repositories that are opened, manifests and blobs that are looked at, turns that it leaves to others.
 * Over 10,000 repositories of which a caller may see every second one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { parseManifest } from '../../../src/oci/manifest.ts';
import { ociManifest } from '../../../src/oci/media-type.ts';
import { BlobUses } from '../../../src/overview/held/blob-uses.ts';
import { HeldRepositories } from '../../../src/overview/held/held-repositories.ts';
import type { HeldRepository } from '../../../src/overview/held/held-repository.ts';
import { ImageList } from '../../../src/overview/images/image-list.ts';
import { ImageRows } from '../../../src/overview/images/image-row.ts';
import { OfflineList } from '../../../src/overview/images/offline-list.ts';
import { RepositoryList } from '../../../src/overview/images/repository-list.ts';
import { operatorCaller } from '../../../src/registry/caller.ts';
import { heldRepository, mirroredNames } from '../../support/held-repository.ts';
import { Recorder } from '../../support/recorder.ts';

const repositories = 10_000;
const signal = new AbortController().signal;
const names = Array.from(
  { length: repositories },
  (_, at) => `docker.io/team/app-${String(at).padStart(5, '0')}`,
);
const seesEven = {
  ...operatorCaller,
  user: 'alice',
  mayPull: (name: string) => Number(name.slice(-1)) % 2 === 0,
};

interface Costs {
  asked: number;
  opened: number;
  manifests: number;
  configs: number;
  disk: number;
}

function manifestOf(name: string) {
  const blob = (part: string) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: digestOf(Buffer.from(`${name} ${part}`)),
    size: 10,
  });
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: { ...blob('config'), mediaType: 'application/vnd.oci.image.config.v1+json' },
      layers: [blob('a'), blob('b')],
    }),
  );
  return { bytes, digest: digestOf(bytes), parsed: parseManifest(bytes, ociManifest) };
}

class CountedRepositories extends HeldRepositories {
  readonly #costs: Costs;

  constructor(costs: Costs) {
    super(
      mirroredNames(names, async (name, caller) => {
        costs.asked += 1;
        return caller.mayPull(name, 'public');
      }),
    );
    this.#costs = costs;
  }

  override async open(name: string): Promise<HeldRepository> {
    this.#costs.opened += 1;
    return heldRepository(name, manifestOf(name).digest);
  }
}

function rig() {
  const costs: Costs = { asked: 0, opened: 0, manifests: 0, configs: 0, disk: 0 };
  const held = new CountedRepositories(costs);
  const byDigest = new Map<Digest, string>();
  const content = {
    of: async () => ({ size: 10, lastUseMs: 1 }), // from memory
    manifest: async ({ digest }: { readonly digest: Digest }) => {
      costs.manifests += 1;
      for (const name of byDigest.size === 0 ? names : []) byDigest.set(manifestOf(name).digest, name);
      const { bytes, parsed } = manifestOf(byDigest.get(digest) ?? '');
      return { size: bytes.length, parsed };
    },
    json: async () => {
      costs.configs += 1;
      return { architecture: 'amd64', os: 'linux' };
    },
  };
  const uses = { current: () => undefined };
  const rows = new ImageRows({ content, uses, isFresh: () => true });
  const hosts = { keys: new Map([['docker.io', 'docker.io']]), fallback: 'docker.io' };
  const images = new ImageList({ hosts, repositories: held, content, rows });
  return { costs, held, content, images, rows, uses, list: new RepositoryList(held) };
}

test('a page of repositories opens those that it shows, and asks for rights up to the first of the next page', async () => {
  const { costs, list } = rig();
  const first = await list.page({ n: 50 }, seesEven, signal);
  expect([first.rows.length, costs.opened, costs.asked]).toEqual([50, 50, 101]);
  const last = names.at(-100);
  const { rows, next } = await list.page({ n: 50, last }, seesEven, signal);
  expect([rows.length, next, costs.opened]).toEqual([49, undefined, 99]);
  expect(costs.asked).toBe(101 + 99);
});

test('a search asks for rights only where the name matches, and opens only what it shows', async () => {
  const { costs, list } = rig();
  const { rows } = await list.page({ n: 50, q: 'APP-0123' }, seesEven, signal);
  expect(rows.map(({ name }) => name.slice(-5))).toEqual(['01230', '01232', '01234', '01236', '01238']);
  expect([costs.asked, costs.opened]).toEqual([10, 5]);
  await list.page({ n: 50, q: 'nosuch' }, seesEven, signal);
  expect([costs.asked, costs.opened]).toEqual([10, 5]);
});

test('a page of images reads one manifest and one config for each row, and nothing beyond the page', async () => {
  const { costs, images } = rig();
  const { rows, next } = await images.page({ n: 50 }, seesEven, signal);
  expect([rows.length, next]).toEqual([50, `${names[98]}:latest`]);
  expect([costs.manifests, costs.configs, costs.opened]).toEqual([50, 50, 51]);
});

test('a page of what is offline looks at 200 images at most, also where none of them is shown', async () => {
  const { costs, images, rows, held, uses } = rig();
  const offline = new OfflineList({ images, rows, repositories: held, uses });
  const page = await offline.page({ n: 50, show: 'incomplete' }, seesEven, signal);
  expect([page.rows, page.next, costs.manifests]).toEqual([[], `${names[398]}:latest`, 200]);
});

test('a walk over all names, and a count of all blobs, leave turns to others', async () => {
  const { list, held, content } = rig();
  const turns = async (work: Promise<unknown>): Promise<number> => {
    let [count, isDone] = [0, false];
    void work.finally(() => {
      isDone = true;
    });
    for (; !isDone; count += 1) await nextTurn();
    return count;
  };
  const { logger } = new Recorder();
  const uses = new BlobUses({ repositories: held, content, logger, signal, now: () => 1 });
  expect(uses.current()).toBeUndefined();
  expect(await turns(uses.settled())).toBeGreaterThan(10);
  const slowly = { ...seesEven, mayPull: (name: string) => hold(0.01) && name === '' };
  expect(await turns(list.page({ n: 50 }, slowly, signal))).toBeGreaterThan(5);
  const counted = uses.current();
  const [layer] = manifestOf(names[7] ?? '').parsed.layers;
  expect(layer && [counted?.countOf(layer.digest), counted?.repositoryOf(layer.digest)]).toEqual([
    1,
    names[7],
  ]);
});

/** Takes so many milliseconds of this turn. */
function hold(ms: number): boolean {
  const until = performance.now() + ms;
  while (performance.now() < until);
  return true;
}
