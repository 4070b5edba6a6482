/** Pushes: one layer of 1 GB, twenty of 50 MB at once, and small manifests one after the other over 16 connections. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'vitest';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { isQuick, roundsOf, Table } from './report.ts';
import { available, registries } from './servers/registries.ts';
import type { MeasuredServer } from './servers/start.ts';
import { pushBlob } from './upload.ts';
import { cpuSeconds } from './usage.ts';

const large = patternBlob('bench: a large push', isQuick ? 100_000_000 : 1_000_000_000);
const many = Array.from({ length: 20 }, (_, at) => patternBlob(`bench: push ${at}`, 50_000_000));
const connections = 16;
const manifests = 800;

requires('curl')('pushes', () => {
  test('layers and manifests', async () => {
    const folder = await tempDir();
    const table = new Table('Pushes', { seconds: 2, 'CPU s': 2, 'a second': 0 });
    const kinds = available(registries, why => table.note(why));
    const fileOf = async (name: string, blob: typeof large) => {
      const file = join(folder, name);
      for (let at = 0; at < blob.size; at += 50_000_000)
        await writeFile(file, blob.slice(at, Math.min(blob.size, at + 50_000_000)), { flag: 'a' });
      return { digest: blob.digest, file };
    };
    const one = await fileOf('large', large);
    const twenty = await Promise.all(many.map((blob, at) => fileOf(`many-${at}`, blob)));
    for (let round = 0; round < roundsOf(3); round += 1) {
      for (const { name, start } of kinds) {
        const server = await start(undefined);
        const measure = async (what: string, work: () => Promise<unknown>, count?: number) => {
          const before = cpuSeconds(server.pids);
          const startedMs = performance.now();
          await work();
          const seconds = (performance.now() - startedMs) / 1000;
          const used = cpuSeconds(server.pids) - before;
          table.add(`${name}, ${what}`, {
            seconds,
            'CPU s': used,
            ...(count !== undefined && { 'a second': count / seconds }),
          });
        };
        await measure('one layer of 1 GB', () => pushBlob(server.url, 'team/large', one));
        const each = twenty.map((blob, at) => () => pushBlob(server.url, `team/many${at}`, blob));
        await measure('20 layers of 50 MB at once', () => Promise.all(each.map(push => push())));
        const image = buildImage();
        await pushParts(server, image);
        await measure(`${manifests} manifests`, () => putManifests(server, image), manifests);
        await server.stop();
      }
    }
    table.print();
  });
});

type Image = ReturnType<typeof buildImage>;

async function pushParts({ url }: MeasuredServer, image: Image): Promise<void> {
  const folder = await tempDir();
  for (const { descriptor, content } of image.blobs) {
    const file = join(folder, descriptor.digest.slice(7));
    await writeFile(file, content.slice(0, content.size));
    await pushBlob(url, 'team/small', { digest: descriptor.digest, file });
  }
}

/** Each under a tag of its own. */
async function putManifests({ url }: MeasuredServer, image: Image): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < manifests; at = next++) {
      const answer = await fetch(`${url}/v2/team/small/manifests/tag-${at}`, {
        method: 'PUT',
        headers: { 'Content-Type': image.mediaType },
        body: new Uint8Array(image.bytes),
      });
      await answer.arrayBuffer();
      if (answer.status !== 201) throw new Error(`PUT of a manifest was answered with ${answer.status}`);
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
}
