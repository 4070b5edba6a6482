/** A full disk, a read-only one, a broken one: the clients get their bytes all the same. Needs root for a tmpfs of its own. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { get, requestMany } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { flip } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const megabyte = 1024 * 1024;

/** A file system of that many bytes, unmounted after the test. */
async function smallDisk(bytes: number): Promise<string> {
  const path = await tempDir();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'cistern-test', path]);
  onTestFinished(() => {
    execFileSync('umount', ['-l', path]);
  });
  return path;
}

function remount(disk: string, mode: 'ro' | 'rw'): boolean {
  return spawnSync('mount', ['-o', `remount,${mode}`, disk]).status === 0;
}

requires('root', 'tmpfs')('the store on a small disk', () => {
  test('a small full tmpfs: many clients pull a blob that does not fit, all of them whole', async () => {
    const disk = await smallDisk(8 * megabyte);
    const upstream = await startFakeUpstream();
    const big = patternBlob('does not fit', 40 * megabyte);
    upstream.putBlob('library/big', big.digest, big);
    const mirror = await startTestMirror({
      upstream,
      storePath: join(disk, 'data'),
      config: { store: { max_size: 0 } },
    });
    await mirror.settled();
    const path = `/v2/library/big/blobs/${big.digest}`;
    const results = await Promise.all(requestMany(6, mirror.url, { path }).map(call => call.done));
    for (const result of results)
      expect(result).toMatchObject({ status: 200, sha256: big.digest, end: 'complete' });
  });

  test('a disk that another process fills in the middle: the followers go on by themselves, and wrong bytes are still cut', async () => {
    const disk = await smallDisk(64 * megabyte);
    const upstream = await startFakeUpstream();
    const big = patternBlob('filled meanwhile', 40 * megabyte);
    upstream.putBlob('library/big', big.digest, big);
    const mirror = await startTestMirror({ upstream, storePath: join(disk, 'data') });
    await mirror.settled();
    const gate = upstream.holdAfter({ digest: big.digest }, 10 * megabyte);
    const path = `/v2/library/big/blobs/${big.digest}`;
    const calls = requestMany(4, mirror.url, { path });
    await Promise.all(calls.map(call => call.atLeast(9 * megabyte)));
    await writeFile(join(disk, 'filler'), Buffer.alloc(60 * megabyte)).catch(() => {});
    gate.release();
    const results = await Promise.all(calls.map(call => call.done));
    for (const result of results)
      expect(result).toMatchObject({ status: 200, sha256: big.digest, end: 'complete' });

    upstream.fault({ digest: big.digest }, flip(39 * megabyte), { times: 'always' });
    const wrong = await get(mirror.url, path, { keep: false });
    expect(wrong.bytes).toBeLessThan(40 * megabyte);
    expect(wrong.end).toBe('fin-early');
  });

  test('a full disk: whole images are pulled, manifests and small blobs included', async () => {
    const disk = await smallDisk(2 * megabyte);
    const upstream = await startFakeUpstream();
    const image = buildImage({ layers: ['a', 'b', 'c'] });
    upstream.put('library/alpine', image, 'latest');
    const mirror = await startTestMirror({ upstream, storePath: join(disk, 'data') });
    await mirror.settled();
    await writeFile(join(disk, 'filler'), Buffer.alloc(4 * megabyte)).catch(() => {});
    for (let n = 0; n < 2; n += 1) {
      expect(await get(mirror.url, '/v2/library/alpine/manifests/latest')).toMatchObject({
        status: 200,
        sha256: image.digest,
      });
      for (const { descriptor } of image.blobs) {
        const result = await get(mirror.url, `/v2/library/alpine/blobs/${descriptor.digest}`);
        expect(result).toMatchObject({ status: 200, sha256: descriptor.digest });
      }
    }
  });

  test('a disk that turns read-only: what is held is served, what is not is passed through', async () => {
    const disk = await smallDisk(16 * megabyte);
    const upstream = await startFakeUpstream();
    const image = buildImage({ layers: ['a'] });
    const other = buildImage({ layers: ['b'] });
    upstream.put('library/alpine', image, 'latest');
    upstream.put('library/alpine', other, 'other');
    const mirror = await startTestMirror({ upstream, storePath: join(disk, 'data') });
    await mirror.settled();
    for (const { descriptor } of image.blobs)
      await get(mirror.url, `/v2/library/alpine/blobs/${descriptor.digest}`);
    await expect.poll(() => remount(disk, 'ro')).toBe(true); // busy while a file is being written
    for (const { descriptor } of [...image.blobs, ...other.blobs]) {
      const result = await get(mirror.url, `/v2/library/alpine/blobs/${descriptor.digest}`);
      expect(result).toMatchObject({ status: 200, sha256: descriptor.digest });
    }
    expect(await get(mirror.url, '/v2/library/alpine/manifests/other')).toMatchObject({
      status: 200,
      sha256: other.digest,
    });
    remount(disk, 'rw');
  });
});
