/**
 * Pushes by other clients over a line that is cut. regctl sends large blobs in chunks and goes on in the same session from the byte
 * that the registry names. oras sends each blob in one piece: it ends with an error, and sends what is missing when it is run again.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { startCuttingProxy } from '../support/cutting-proxy.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { writeLayout } from '../support/push-command.ts';
import { commandOutput, runCommand } from '../support/real/command.ts';
import { findGoProgram, goBuildTimeoutMs } from '../support/real/go-program.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

const size = 8_000_000;
const chunk = 2_000_000;
const layer = patternBlob('over a bad line', size);

async function startRegistry(cutAt: readonly number[]) {
  const mirror = await startTestMirror({ config: { hosted: { repositories: ['team/**'] }, upstreams: {} } });
  const line = await startCuttingProxy(Number(new URL(mirror.url).port), cutAt);
  return { mirror, line, address: `127.0.0.1:${line.port}` };
}

requires('regctl')('regctl over a line that is cut', () => {
  beforeAll(() => findGoProgram('regctl'), goBuildTimeoutMs);

  test('goes on in the same session after each cut, and no byte is taken twice', async () => {
    const { mirror, line, address } = await startRegistry([3_000_000, 6_500_000]);
    const image = buildImage({ layers: [layer] });
    const source = await writeLayout({ app: image });
    const regctl = await findGoProgram('regctl');
    const env = { REGCTL_CONFIG: join(await tempDir(), 'config.json') };
    const settings = [
      '--tls',
      'disabled',
      '--skip-check',
      '--blob-max',
      `${chunk}`,
      '--blob-chunk',
      `${chunk}`,
    ];
    await commandOutput([regctl, 'registry', 'set', address, ...settings], { env });
    const copy = [regctl, 'image', 'copy', `ocidir://${source}:app`, `${address}/team/app:1`];
    await commandOutput(copy, { env });

    const asked = mirror.log.filter(({ msg }) => msg === 'request');
    const started = asked.filter(({ method, path }) => method === 'POST' && `${path}`.includes('uploads'));
    const refused = asked.filter(({ status }) => status === 416);
    const blobs = image.blobs.map(({ descriptor }) => descriptor);
    expect([line.cuts, started.length, refused.length]).toEqual([2, blobs.length, 2]);
    expect(await mirror.metric('cistern_received_bytes_total')).toBe(
      blobs.reduce((sum, blob) => sum + blob.size, 0),
    );
    // A cut costs the chunk that is under way, which regctl sends once more from its start before it asks.
    expect(line.upBytes).toBeLessThan(size + 2 * chunk + 100_000);
    expect(await get(mirror.url, '/v2/team/app/manifests/1')).toMatchObject({ sha256: image.digest });
    expect(await get(mirror.url, `/v2/team/app/blobs/${layer.digest}`)).toMatchObject({
      sha256: layer.digest,
    });
  });
});

requires('oras')('oras over a line that is cut', () => {
  beforeAll(() => findGoProgram('oras'), goBuildTimeoutMs);

  test('fails at the cut, and sends only the file that is missing when it is run again', async () => {
    const { mirror, line, address } = await startRegistry([size + 1_000_000]);
    const folder = await tempDir();
    const files = { first: layer, second: patternBlob('the second file', size) };
    for (const [name, content] of Object.entries(files))
      await writeFile(join(folder, name), content.slice(0, size));
    const oras = await findGoProgram('oras');
    // One after the other, so that the first file is there when the second one is cut.
    const push = [oras, 'push', '--plain-http', '--concurrency', '1', `${address}/team/files:1`];
    const cut = await runCommand([...push, 'first', 'second'], { cwd: folder });
    expect([cut.code, line.cuts]).toEqual([1, 1]);
    expect((await get(mirror.url, '/v2/team/files/manifests/1')).status).toBe(404);

    const before = line.upBytes;
    const again = await runCommand([...push, 'first', 'second'], { cwd: folder });
    expect(again.code, again.stderr).toBe(0);
    expect(line.cuts).toBe(1);
    expect(line.upBytes - before).toBeLessThan(size + 100_000);
    for (const { digest } of Object.values(files))
      expect(await get(mirror.url, `/v2/team/files/blobs/${digest}`)).toMatchObject({ sha256: digest });
  });
});
