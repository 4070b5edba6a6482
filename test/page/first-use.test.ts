/**
 * The first use: what stands on the page, run as it stands, makes a client pull through this mirror. podman as root with a storage of its
 * own, in a mount namespace in which /etc/containers/registries.conf.d is a folder of the test.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openBrowser, type TestBrowser } from '../support/browser.ts';
import { bytesBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { runCommand } from '../support/real/command.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

requires(
  'chromium',
  'root',
  'namespaces',
  'podman',
)('a first-time user', () => {
  let browser: TestBrowser;

  beforeAll(async () => {
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser.close();
  });

  test('points podman at the mirror with the commands of the page, and sees the image on the page', async () => {
    const busybox = await buildBusybox();
    const upstream = await startFakeUpstream();
    upstream.put('library/busybox', busybox, 'latest');
    const mirror = await startTestMirror({ upstream });
    await mirror.settled();
    const { page, problems } = await browser.open(mirror.url);

    await page.goto('/');
    await page.getByRole('link', { name: 'Set up' }).click();
    await page.getByRole('radio', { name: 'Podman' }).check();
    await page.getByRole('heading', { name: 'Podman' }).waitFor();
    const commands = await page.locator('.client-steps pre').allInnerTexts();
    expect(commands).toHaveLength(2);

    const folder = await tempDir();
    const { code, stderr } = await runAsTheyStand(commands, folder);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    expect(await readFile(join(folder, 'settings/cistern.conf'), 'utf8')).toContain(
      `location = "${new URL(mirror.url).host}/docker.io"`,
    );
    const layer = busybox.layers[0]?.descriptor.digest ?? '';
    expect(upstream.lines()).toEqual(expect.arrayContaining([manifestLine('latest'), blobLine(layer)]));

    await page.getByRole('link', { name: 'Images', exact: true }).click();
    await page.getByRole('link', { name: 'docker.io/library/busybox:latest' }).waitFor();
    expect(problems).toEqual([]);
  });
});

/** One that podman can unpack. */
async function buildBusybox(): Promise<BuiltImage> {
  const archive = pack();
  archive.entry({ name: 'hello' }, 'hello\n');
  archive.finalize();
  const chunks: Buffer[] = [];
  archive.on('data', chunk => {
    if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  });
  await once(archive, 'end');
  const tar = Buffer.concat(chunks);
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
  const config = {
    os: 'linux',
    architecture: 'amd64',
    config: {},
    rootfs: { type: 'layers', diff_ids: [diffId] },
  };
  return buildImage({ layers: [bytesBlob(gzipSync(tar))], config: bytesBlob(JSON.stringify(config)) });
}

/** In one shell. The test is root already: its `sudo` only runs what follows. */
async function runAsTheyStand(commands: readonly string[], folder: string) {
  const file = (name: string) => join(folder, name);
  for (const name of ['settings', 'bin', '.config/containers', 'storage', 'run', 'cache'])
    await mkdir(file(name), { recursive: true });
  await writeFile(file('bin/sudo'), '#!/bin/sh\nexec "$@"\n');
  await chmod(file('bin/sudo'), 0o755);
  await writeFile(file('.config/containers/policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  const storage = `[storage]\ndriver = "vfs"\ngraphroot = "${file('storage')}"\nrunroot = "${file('run')}"\n`;
  await writeFile(file('storage.conf'), storage);
  const place = 'mkdir -p "$2" && mount --bind "$1" "$2" && mkdir -p "$4" && mount --bind "$3" "$4"';
  const settings = [file('settings'), '/etc/containers/registries.conf.d'];
  const cache = [file('cache'), '/var/lib/containers/cache'];
  const script = `${place} || exit 9\n${commands.join('\n')}\n`;
  const argv = [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-euc',
    script,
    'sh',
    ...settings,
    ...cache,
  ];
  const env = {
    HOME: folder,
    PATH: `${file('bin')}:${process.env['PATH']}`,
    CONTAINERS_STORAGE_CONF: file('storage.conf'),
    XDG_RUNTIME_DIR: undefined,
    NO_PROXY: '*',
    no_proxy: '*',
  };
  return await runCommand(argv, { env });
}
