/**
 * `kill -9` right after each operation on the disk of a push (session, bytes, rename, link, manifest): whatever was answered 201 is there
 * after the restart, nothing half-written can be seen, and the next push succeeds.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get } from '../support/client.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { pushBlob, send } from '../support/upload-client.ts';

const config = { upstreams: {}, hosted: { repositories: ['**'] } };

/** Stops at the first answer that doesn't come. Resolves with the URLs of all that was answered 201. */
async function push(url: string, name: string, image: BuiltImage): Promise<string[]> {
  const kept: string[] = [];
  const keep = (status: number, path: string): void => {
    if (status !== 201) throw new Error(`expected 201, got ${status}`);
    kept.push(path);
  };
  try {
    for (const { content, descriptor } of image.blobs)
      keep(await pushBlob(url, name, content), `/v2/${name}/blobs/${descriptor.digest}`);
    const path = `/v2/${name}/manifests/latest`;
    const headers = { 'Content-Type': image.mediaType };
    keep((await send(url, 'PUT', path, { body: image.bytes, headers })).status, path);
  } catch {
    return kept; // the process died
  }
  return kept;
}

/** Blobs are what their names say; sessions are a journal with or without a part; there is nothing else. */
async function expectTidy(storePath: string): Promise<void> {
  const odd: string[] = [];
  for (const file of await filesUnder(storePath)) {
    const blob = /^blobs-v1\/(sha256|sha512)\/[0-9a-f]{2}\/([0-9a-f]+)$/.exec(file);
    if (blob !== null) {
      const bytes = await readFile(join(storePath, file));
      if (digestOf(bytes) !== `${blob[1]}:${blob[2]}`) odd.push(file);
    } else if (
      !/^(?:layout|id|owner\.sock|scrub|uploads-v1\/[0-9a-f]{32}\.(?:json|part)|hosted-v1\/.*\/_[a-z]+)$/.test(
        file,
      )
    ) {
      odd.push(file);
    }
  }
  expect(odd).toEqual([]);
}

async function expectKept(
  storePath: string,
  kept: readonly string[],
  images: ReadonlyMap<string, BuiltImage>,
): Promise<void> {
  const mirror = await startTestMirror({ storePath, config });
  for (const path of kept) {
    const { status, body, headers } = await get(mirror.url, path);
    expect([path, status]).toEqual([path, 200]);
    expect(digestOf(body)).toBe(headers.get('docker-content-digest'));
  }
  for (const [name, image] of images) {
    // What was not answered may be there, but only whole.
    const { status } = await get(mirror.url, `/v2/${name}/manifests/latest`);
    const blobs = await Promise.all(
      image.blobs.map(({ descriptor }) => get(mirror.url, `/v2/${name}/blobs/${descriptor.digest}`)),
    );
    for (const [index, blob] of blobs.entries()) {
      if (status === 200) expect(blob.status).toBe(200);
      if (blob.status === 200) expect(blob.sha256).toBe(image.blobs[index]?.descriptor.digest);
    }
    expect((await push(mirror.url, name, image)).length).toBe(image.blobs.length + 1);
  }
  await mirror.close();
  await expectTidy(storePath);
}

test('after each step of one push', async () => {
  const image = buildImage({ layers: [] });
  const died: number[] = [];
  for (let step = 1; ; step += 1) {
    const mirror = await spawnTestMirror({ config, killAfterStep: step });
    const kept = await push(mirror.url, 'team/app', image);
    if (kept.length === image.blobs.length + 1 && mirror.process.running) {
      await mirror.process.stop('SIGKILL');
      break;
    }
    expect(await mirror.process.exited).toMatchObject({ signal: 'SIGKILL' });
    died.push(kept.length);
    await expectKept(mirror.storePath, kept, new Map([['team/app', image]]));
  }
  expect(died.length).toBeGreaterThanOrEqual(12);
  expect(new Set(died)).toEqual(new Set(image.blobs.map((_, index) => index).concat(image.blobs.length)));
}, 120_000);

test('20 parallel pushes that share layers, killed in the middle', async () => {
  const images = new Map(
    Array.from({ length: 20 }, (_, index): [string, BuiltImage] => [
      `team/app${index}`,
      buildImage({ layers: ['shared base', `shared ${index % 4}`, `own ${index}`] }),
    ]),
  );
  for (const killAfterStep of [60, 300]) {
    const mirror = await spawnTestMirror({ config, killAfterStep });
    const pushing = Array.from(images, ([name, image]) => push(mirror.url, name, image));
    const kept = (await Promise.all(pushing)).flat();
    await mirror.process.exited;
    await expectKept(mirror.storePath, kept, images);
  }
}, 120_000);
