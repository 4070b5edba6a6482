/** Commands beside pulls of the very same images: no body is ever wrong or short, and what is told in the end is true. */
import { expect, test } from 'vitest';
import { type ImageCommand, runImageCommand } from '../../src/cli/image-commands.ts';
import { runLs } from '../../src/cli/ls.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const names = ['one', 'two', 'three'];
const images = names.map((name, n) =>
  buildImage({ layers: ['shared', patternBlob(name, 1_200_000 + n), `small ${name}`] }),
);

async function pullOnce(url: string, name: string, image: BuiltImage): Promise<void> {
  const manifest = await get(url, `/v2/library/${name}/manifests/latest`);
  expect([manifest.status, manifest.sha256]).toEqual([200, image.digest]);
  for (const { descriptor } of image.blobs) {
    const blob = await get(url, `/v2/library/${name}/blobs/${descriptor.digest}`, { keep: false });
    expect(blob).toMatchObject({ status: 200, sha256: descriptor.digest, end: 'complete' });
  }
}

test('evict, pin and unpin again and again under 6 clients that pull', async () => {
  const upstream = await startFakeUpstream();
  for (const [n, image] of images.entries()) upstream.put(`library/${names[n]}`, image, 'latest');
  const mirror = await startTestMirror({ upstream, config: { tags: { ttl: '1d' } } });
  await mirror.settled();
  let isOver = false;
  const clients = Array.from({ length: 6 }, async (_, client) => {
    for (let turn = 0; !isOver; turn += 1) {
      const n = (client + turn) % names.length;
      await pullOnce(mirror.url, names[n] ?? '', images[n] ?? buildImage());
    }
  });
  const lines: string[] = [];
  const run = (command: ImageCommand, ...typed: string[]) =>
    runImageCommand(
      command,
      {
        file: mirror.file,
        env: {},
        cwd: '/',
        write: text => void lines.push(text),
        writeError: text => void lines.push(text),
      },
      typed,
    );
  for (let turn = 0; turn < 12; turn += 1) {
    const name = names[turn % names.length] ?? '';
    await run('evict', ...names);
    await pullOnce(mirror.url, name, images[turn % images.length] ?? buildImage());
    expect(await run('pin', name)).toBe(0);
    await run('evict', ...names, images[turn % images.length]?.layers[1]?.descriptor.digest ?? '');
    await run('unpin', ...names);
  }
  isOver = true;
  await Promise.all(clients);
  for (const line of lines) expect(line).not.toMatch(/unexpected|undefined/);
  expect(lines.filter(line => line.includes('freed')).length).toBeGreaterThan(10);
  expect(lines.filter(line => line.includes(': unpinned')).length).toBe(12);
  expect(lines.filter(line => line.includes(' is pinned: unpin it first')).length).toBeGreaterThanOrEqual(12);
  expect(mirror.log.filter(({ level }) => level === 'error')).toEqual([]);

  for (const [n, image] of images.entries()) await pullOnce(mirror.url, names[n] ?? '', image);
  const listed: string[] = [];
  const options = { file: mirror.file, env: {}, cwd: '/', json: true };
  await expect
    .poll(async () => {
      listed.length = 0;
      await runLs({ ...options, write: text => void listed.push(text), writeError: () => {} }, undefined);
      const held: { images: { complete: boolean; pinned: boolean }[] } = JSON.parse(listed.join(''));
      return held.images.map(({ complete, pinned }) => ({ complete, pinned }));
    })
    .toEqual(names.map(() => ({ complete: true, pinned: false })));
});
