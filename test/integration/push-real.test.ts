/** `cistern push` to Debian's docker-registry: as it is, and through an nginx with a limit on a line that breaks. */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { pushOverBadLine } from '../support/bad-line.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { startCuttingProxy } from '../support/cutting-proxy.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { push, writeLayout } from '../support/push-command.ts';
import { Distribution } from '../support/real/distribution.ts';
import { startNginx } from '../support/real/nginx.ts';
import { host } from '../support/real/place.ts';
import { TokenServer } from '../support/real/token-server.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

async function startRegistry(tokens?: TokenServer): Promise<Distribution> {
  const folder = await tempDir();
  const registry = await Distribution.start({
    folder,
    storage: join(folder, 'storage'),
    place: host,
    ...(tokens && { tokens }),
  });
  onTestFinished(() => registry.stop());
  return registry;
}

const mediaTypes = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json';

requires('root', 'docker-registry')('cistern push to docker-registry', () => {
  test('an index and an image of 3 MB: the same digests come back', async () => {
    const registry = await startRegistry();
    const image = buildImage({ layers: [patternBlob('3 MB', 3_000_000)] });
    const index = buildIndex();
    const source = await writeLayout({ image, index });
    const address = `127.0.0.1:${registry.port}/team/app`;
    for (const [select, built] of [
      ['image', image],
      ['index', index],
    ] as const) {
      const pushed = await push(source, `${address}:${select}`, { select });
      expect(pushed).toMatchObject({ code: 0, stdout: `${address}@${built.digest}\n` });
      const answer = await get(registry.url, `/v2/team/app/manifests/${select}`, {
        headers: { accept: mediaTypes },
      });
      expect([answer.status, answer.body]).toEqual([200, built.bytes]);
      for (const { descriptor } of built.blobs)
        expect((await get(registry.url, `/v2/team/app/blobs/${descriptor.digest}`)).body.length).toBe(
          descriptor.size,
        );
    }
  });

  test('with a token for each repository, and a wrong password is said', async () => {
    const tokens = await TokenServer.start({ folder: await tempDir(), user: 'jo:secret' });
    onTestFinished(() => tokens.close());
    const registry = await startRegistry(tokens);
    const source = await writeLayout({ image: buildImage() });
    const address = `127.0.0.1:${registry.port}/team/app:1`;
    const user = { username: 'jo', readPassword: async () => 'secret' };
    expect((await push(source, address, user)).code).toBe(0);
    expect(tokens.requests).toEqual([{ user: 'jo', scopes: ['repository:team/app:pull,push'], status: 200 }]);
    const wrong = await push(source, address, { ...user, readPassword: async () => 'guess' });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/wrong user name or password/);
  });
});

requires(
  'root',
  'docker-registry',
  'nginx',
)('cistern push through an nginx with a limit', () => {
  test('a layer of 3 MB through a limit of 1 MB on a line that breaks twice', async () => {
    const registry = await startRegistry();
    const port = await startNginx({ folder: await tempDir(), upstream: registry.url, maxBody: '1m' });
    const line = await startCuttingProxy(port, [1_200_000, 2_600_000]);
    const layer = patternBlob('through nginx', 3_000_000);
    const image = buildImage({ layers: [layer] });
    const source = await writeLayout({ image });
    const { code, stderr } = await push(source, `127.0.0.1:${line.port}/team/app:1`, {
      chunkBytes: 5_000_000, // more than the limit: smaller ones are found
    });
    expect([code, line.cuts]).toEqual([0, 2]);
    expect(stderr).toContain('trying again');
    const answer = await get(registry.url, `/v2/team/app/blobs/${layer.digest}`);
    expect(answer.body.equals(layer.slice(0, layer.size))).toBe(true);
  });

  test('to Cistern: both sessions go on after the cuts, and little is sent twice', async () => {
    const size = 3_000_000;
    const options = { maxBody: '1m', chunkBytes: 800_000, cutAt: [1_200_000, 2_600_000] };
    const { pushed, line, starts, stored } = await pushOverBadLine(size, options);
    expect([pushed.code, line.cuts, stored, starts]).toEqual([0, 2, size, 2]);
    expect(line.upBytes).toBeLessThan(1.6 * size); // a cut loses at most what was under way
  });
});
