/** Pushes to a small disk: the cache gives way, and a disk that is full costs no answer that was given. Needs root for a tmpfs of its own. */
import { execFileSync } from 'node:child_process';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { get } from '../support/client.ts';
import { pushImage } from '../support/collection-soak.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { finish, pushBlob, send, startUpload } from '../support/upload-client.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const megabyte = 1024 * 1024;
const hosted = { repositories: ['team/**'] };

async function smallDisk(bytes: number): Promise<string> {
  const path = await tempDir();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'cistern-test', path]);
  onTestFinished(() => {
    execFileSync('umount', ['-l', path]);
  });
  return path;
}

/** All that is left, to the last block. Resolves with the path of what takes the room. */
async function fill(disk: string): Promise<string> {
  const path = join(disk, 'filler');
  const file = await open(path, 'w');
  try {
    for (const size of [megabyte, 4096, 1]) {
      for (;;) {
        const { bytesWritten } = await file.write(Buffer.alloc(size)).catch(() => ({ bytesWritten: 0 }));
        if (bytesWritten < size) break;
      }
    }
  } finally {
    await file.close();
  }
  return path;
}

function blobUrl(name: string, digest: string): string {
  return `/v2/${name}/blobs/${digest}`;
}

async function expectPulled(mirror: TestMirror, name: string, digest: string): Promise<void> {
  const { status, sha256 } = await get(mirror.url, blobUrl(name, digest), { keep: false });
  expect([status, sha256]).toEqual([200, digest]);
}

requires('root', 'tmpfs')('a small disk', () => {
  test('cached blobs are evicted for a push, whatever max_size says, and hosted ones never', async () => {
    const disk = await smallDisk(40 * megabyte);
    const upstream = await startFakeUpstream();
    const cached = patternBlob('cached', 15 * megabyte);
    upstream.putBlob('library/big', cached.digest, cached);
    const [first, second] = [patternBlob('pushed', 20 * megabyte), patternBlob('pushed too', 10 * megabyte)];
    const mirror = await startTestMirror({
      upstream,
      storePath: join(disk, 'data'),
      config: { hosted, store: { max_size: '16MB' } },
    });
    await mirror.settled();
    await expectPulled(mirror, 'library/big', cached.digest);
    expect(await pushBlob(mirror.url, 'team/app', first)).toBe(201);
    expect(await mirror.metric('cistern_evictions_total')).toBe(0); // they fit side by side
    expect(await pushBlob(mirror.url, 'team/app', second)).toBe(201);
    expect(await mirror.metric('cistern_evictions_total')).toBe(1);
    for (const { digest } of [first, second]) await expectPulled(mirror, 'team/app', digest);
    upstream.log.clear();
    await expectPulled(mirror, 'library/big', cached.digest); // through the mirror, now that there is no room
    for (const { digest } of [first, second]) await expectPulled(mirror, 'team/app', digest);
  });

  test('a disk that another program fills in the middle: 503, the session goes on, nothing answered is lost', async () => {
    const disk = await smallDisk(40 * megabyte);
    const mirror = await startTestMirror({
      storePath: join(disk, 'data'),
      config: { upstreams: {}, hosted },
    });
    await mirror.settled();
    const before = patternBlob('pushed before', 5 * megabyte);
    const blob = patternBlob('pushed in between', 12 * megabyte);
    const bytes = blob.slice(0, blob.size);
    expect(await pushBlob(mirror.url, 'team/app', before)).toBe(201);
    const { location } = await startUpload(mirror.url, 'team/app');
    const first = await send(mirror.url, 'PATCH', location, { body: bytes.subarray(0, 4 * megabyte) });
    expect(first.status).toBe(202);
    const filler = join(disk, 'filler');
    await writeFile(filler, Buffer.alloc(40 * megabyte)).catch(() => {});
    const refused = await send(mirror.url, 'PATCH', location, { body: bytes.subarray(4 * megabyte) });
    expect([refused.status, refused.body.toString()]).toEqual([503, expect.stringContaining('UNAVAILABLE')]);
    const range = (await get(mirror.url, location)).headers.get('range') ?? '';
    const offset = Number(range.split('-')[1]) + 1;
    expect(offset).toBeGreaterThanOrEqual(4 * megabyte);
    const posted = await send(mirror.url, 'POST', '/v2/team/app/blobs/uploads/');
    expect([202, 503]).toContain(posted.status);
    await expectPulled(mirror, 'team/app', before.digest);
    await rm(filler);
    const last = await finish(mirror.url, location, blob.digest, { body: bytes.subarray(offset) });
    expect(last.status).toBe(201);
    for (const { digest } of [before, blob]) await expectPulled(mirror, 'team/app', digest);
    await mirror.close();
    const again = await startTestMirror({ storePath: mirror.storePath, config: { upstreams: {}, hosted } });
    for (const { digest } of [before, blob]) await expectPulled(again, 'team/app', digest);
  });

  test('no room for the line of the log: 503, and the same PUT finishes when there is some', async () => {
    const disk = await smallDisk(8 * megabyte);
    const mirror = await startTestMirror({
      storePath: join(disk, 'data'),
      config: { upstreams: {}, hosted },
    });
    await mirror.settled();
    const blob = patternBlob('waits for its link', 2 * megabyte);
    const { location } = await startUpload(mirror.url, 'team/app');
    await send(mirror.url, 'PATCH', location, { body: blob.slice(0, blob.size) });
    const filler = join(disk, 'filler');
    await writeFile(filler, Buffer.alloc(8 * megabyte)).catch(() => {});
    const refused = await finish(mirror.url, location, blob.digest);
    expect([refused.status, refused.body.toString()]).toEqual([503, expect.stringContaining('UNAVAILABLE')]);
    expect((await get(mirror.url, blobUrl('team/app', blob.digest))).status).toBe(404);
    await rm(filler);
    expect((await finish(mirror.url, location, blob.digest)).status).toBe(201);
    await expectPulled(mirror, 'team/app', blob.digest);
  });

  test('no room for the last chunk of a commit: 503 and no blob, and the session takes the rest afterwards', async () => {
    const disk = await smallDisk(8 * megabyte);
    const mirror = await startTestMirror({
      storePath: join(disk, 'data'),
      config: { upstreams: {}, hosted },
    });
    await mirror.settled();
    const blob = patternBlob('its end finds no room', 2 * megabyte);
    const bytes = blob.slice(0, blob.size);
    const { location } = await startUpload(mirror.url, 'team/app');
    await send(mirror.url, 'PATCH', location, { body: bytes.subarray(0, megabyte) });
    const filler = await fill(disk);
    const refused = await finish(mirror.url, location, blob.digest, { body: bytes.subarray(megabyte) });
    expect([refused.status, refused.body.toString()]).toEqual([503, expect.stringContaining('UNAVAILABLE')]);
    expect((await get(mirror.url, blobUrl('team/app', blob.digest))).status).toBe(404);
    await rm(filler);
    const status = await get(mirror.url, location);
    const offset = Number((status.headers.get('range') ?? '').split('-')[1]) + 1;
    expect([status.status, offset >= megabyte]).toEqual([204, true]);
    const last = await finish(mirror.url, location, blob.digest, { body: bytes.subarray(offset) });
    expect(last.status).toBe(201);
    await expectPulled(mirror, 'team/app', blob.digest);
  });

  test('no room for a manifest, or for its line in the log: 503, nothing changes, and all of it works afterwards', async () => {
    const disk = await smallDisk(8 * megabyte);
    const config = { upstreams: {}, hosted };
    const mirror = await startTestMirror({ storePath: join(disk, 'data'), config });
    await mirror.settled();
    const image = buildImage();
    const next = buildImage({ layers: ['of the next'], annotations: { padding: 'x'.repeat(20_000) } });
    expect(await pushImage(mirror, 'team/app', image, 'v1')).toBe(201);
    for (const { content } of next.blobs) expect(await pushBlob(mirror.url, 'team/app', content)).toBe(201);
    const put = ({ bytes, mediaType }: BuiltImage, reference: string) =>
      send(mirror.url, 'PUT', `/v2/team/app/manifests/${reference}`, {
        headers: { 'Content-Type': mediaType },
        body: bytes,
      });
    // The bytes are here already: the line with so many tags is all that needs room.
    const tags = Array.from({ length: 100 }, (_, at) => `tag=${'long'.repeat(20)}-${at}`);
    const onlyLine = `v2?${tags.join('&')}`;
    const filler = await fill(disk);
    for (const [one, reference] of [
      [next, 'v1'],
      [image, onlyLine],
    ] as const) {
      const { status, body } = await put(one, reference);
      expect([status, body.toString()]).toEqual([503, expect.stringContaining('UNAVAILABLE')]);
    }
    expect((await get(mirror.url, '/v2/team/app/manifests/v1')).sha256).toBe(image.digest);
    expect((await get(mirror.url, `/v2/team/app/manifests/${next.digest}`)).status).toBe(404);
    const tagList = async ({ url }: TestMirror) =>
      JSON.parse((await get(url, '/v2/team/app/tags/list')).body.toString()).tags.length;
    expect(await tagList(mirror)).toBe(1);
    await rm(filler);
    expect((await put(next, 'v1')).status).toBe(201);
    expect((await put(image, onlyLine)).status).toBe(201);
    await mirror.close();
    const again = await startTestMirror({ storePath: mirror.storePath, config });
    expect((await get(again.url, '/v2/team/app/manifests/v1')).sha256).toBe(next.digest);
    expect(await tagList(again)).toBe(102);
    for (const { descriptor } of [...image.blobs, ...next.blobs])
      await expectPulled(again, 'team/app', descriptor.digest);
  });
});
