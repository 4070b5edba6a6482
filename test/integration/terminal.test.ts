/** Long commands and `cistern top`, on a terminal and into pipes: bars that go away, plain lines, JSON, and a screen that is redrawn until q. */
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { StatsReport } from '../../src/admin/admin.ts';
import { askDaemon } from '../../src/cli/socket/ask-daemon.ts';
import type { Progress } from '../../src/telemetry/progress.ts';
import { runCistern } from '../support/cistern-command.ts';
import { get, request } from '../support/client.ts';
import { pushImage } from '../support/collection-soak.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { PseudoTerminal } from '../support/pseudo-terminal.ts';
import { writeLayout } from '../support/push-command.ts';
import { requires } from '../support/requires.ts';
import { open, startUpload } from '../support/upload-client.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const csi = '\u001b[';
const layer = patternBlob('terminal', 4_000_000);
const image = buildImage({ layers: [layer] });
const program = `${process.execPath} dist/main.js`;
const hosted = { repositories: ['team/**'] };

async function stats({ storePath }: { readonly storePath: string }): Promise<StatsReport> {
  const { body } = await askDaemon(join(storePath, 'owner.sock'), 'GET', '/api/v1/stats');
  return JSON.parse(String(body));
}

/** A download that stands still, an upload that does, and a client that has pulled. */
async function startBusy() {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  const mirror = await startTestMirror({ upstream, config: { hosted } });
  expect((await get(mirror.url, '/v2/library/app/manifests/latest')).status).toBe(200);
  const gate = upstream.holdAfter({ digest: layer.digest }, 1_000_000);
  const pulling = request(mirror.url, { path: `/v2/library/app/blobs/${layer.digest}` });
  await gate.reached;
  await pulling.atLeast(500_000);
  const { location } = await startUpload(mirror.url, 'team/app');
  const uploading = open(mirror.url, 'PATCH', location, { 'Content-Length': '200000' });
  uploading.socket.write(Buffer.alloc(100_000));
  onTestFinished(() => void uploading.socket.destroy());
  await expect.poll(async () => (await stats(mirror)).daemon?.uploads[0]?.bytes).toBe(100_000);
  return {
    mirror,
    finish: async () => {
      gate.release();
      expect((await pulling.done).status).toBe(200);
    },
  };
}

requires('script')('on a terminal', () => {
  test('top: transfers, uploads, clients and upstreams, drawn over themselves each second, until q', async () => {
    const { mirror, finish } = await startBusy();
    const top = new PseudoTerminal(`${program} top --config ${mirror.file}`, { columns: 100, rows: 30 });
    await expect.poll(() => top.drawn.split(`${csi}H`).length).toBeGreaterThan(3); // two redraws
    expect(top.drawn.startsWith(`${csi}?1049h`)).toBe(true);
    expect(top.text).toMatch(/^cistern \S+.*, process \d+, running for /m);
    expect(top.text).toMatch(new RegExp(`^${layer.digest.slice(0, 19)} +docker.io/library/app +\\[===`, 'm'));
    expect(top.text).toMatch(/^team\/app +- +97\.7 KiB /m);
    expect(top.text).toMatch(/^127\.0\.0\.1 +\d+ +/m);
    expect(top.text).toMatch(/^docker\.io +up +-$/m);
    expect(top.text).toMatch(/ requests\/s, /);
    await finish();
    top.press('q');
    expect(await top.ended).toBe(0);
    expect(top.drawn.endsWith(`${csi}?7h${csi}?25h${csi}?1049l`)).toBe(true);
  });

  test('warm: a bar below its lines while images are fetched', async () => {
    const upstream = await startFakeUpstream();
    upstream.put('library/app', image, 'latest');
    const mirror = await startTestMirror({ upstream });
    await mirror.settled();
    const gate = upstream.holdAfter({ digest: layer.digest }, 1_000_000);
    const warm = new PseudoTerminal(`${program} warm app --config ${mirror.file}`);
    await expect.poll(() => warm.text).toContain('warm [------------------------] 0 %, 0 of 1 images');
    gate.release();
    expect(await warm.ended).toBe(0);
    const last = warm.drawn.slice(warm.drawn.lastIndexOf(`${csi}2K`) + `${csi}2K`.length);
    expect(warm.text).toContain('docker.io/library/app:latest: fetched, ');
    expect(last).toMatch(/^1 image: 1 fetched; /);
  });

  test('a bar while a command works, and only its result afterwards', async () => {
    const { mirror, finish } = await startBusy();
    await finish();
    await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
    const scrub = new PseudoTerminal(`${program} scrub --rate 1MB/s --config ${mirror.file}`);
    expect(await scrub.ended).toBe(0);
    expect(scrub.text).toMatch(/scrub \[=*-*\] \d+ %, .* of 3\.8 MiB/);
    const last = scrub.drawn.slice(scrub.drawn.lastIndexOf(`${csi}2K`) + `${csi}2K`.length);
    expect(last.replaceAll('\r', '')).toMatch(/^\d files compared, 3\.8 MiB\n$/);
    expect(scrub.drawn).not.toContain(`${csi}?7l`);
  });
});

test('into pipes: plain lines on standard error, the result alone on standard output', async () => {
  const { mirror, finish } = await startBusy();
  await finish();
  await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
  const { code, stdout, stderr } = await runCistern(mirror.file, 'scrub', '--rate', '1MB/s');
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^\d files compared, 3\.8 MiB\n$/)]);
  expect(stderr).toMatch(/^(?:scrub: \d+ %, \S+ \S+ of 3\.8 MiB[^\n]*\n)+$/);
  const json = await runCistern(mirror.file, 'scrub', '--rate', '1MB/s', '--json');
  expect([json.code, JSON.parse(json.stdout).findings, json.stderr]).toEqual([0, [], '']);
  const layout = await writeLayout({ image });
  const target = mirror.url.replace('http://', '');
  const pushed = await new Promise<{ readonly stdout: string; readonly stderr: string }>(resolve => {
    const args = ['dist/main.js', 'push', layout, `${target}/team/pushed:1`];
    execFile(process.execPath, args, (_error, out, err) => resolve({ stdout: out, stderr: err }));
  });
  expect(pushed.stdout).toBe(`${target}/team/pushed:1@${image.digest}\n`.replace(':1@', '@'));
  expect(pushed.stderr).toMatch(/^(?:sha256:[\da-f]{12}: (?:pushed|already there) \(.*\)\n){2}$/);
});

test('top without a terminal: once, as JSON, and until its reader has gone', async () => {
  const { mirror, finish } = await startBusy();
  const once = await runCistern(mirror.file, 'top', '--once');
  expect([once.code, once.stdout.includes('\u001b'), once.stderr]).toEqual([0, false, '']);
  expect(once.stdout).toContain('docker.io/library/app');
  const json = await runCistern(mirror.file, 'top', '--once', '--json');
  const { daemon } = JSON.parse(json.stdout);
  expect(daemon.downloads).toMatchObject([{ digest: layer.digest, sizeBytes: 4_000_000 }]);
  expect(daemon.uploads).toMatchObject([{ repository: 'team/app', user: null, bytes: 100_000 }]);
  expect(daemon.clients).toMatchObject([{ address: '127.0.0.1' }]);
  await finish();

  const shell = spawn('sh', ['-c', `${program} top --json --config ${mirror.file} | head -2`]);
  let text = '';
  shell.stdout.setEncoding('utf8').on('data', chunk => {
    text += chunk;
  });
  expect(await new Promise(resolve => shell.once('close', resolve))).toBe(0);
  expect(
    text
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line).daemon.pid),
  ).toEqual([process.pid, process.pid]);

  await mirror.close();
  const none = await runCistern(mirror.file, 'top', '--once');
  expect([none.code, none.stdout, none.stderr]).toEqual([1, '', 'error: no daemon runs with this store\n']);
});

test('gc tells over the admin socket which repository it is at', async () => {
  const mirror = await startTestMirror({ config: { hosted, upstreams: {} } });
  for (const name of ['team/a', 'team/b']) expect(await pushImage(mirror, name, image, '1')).toBe(201);
  const seen: Progress[] = [];
  const { status, body } = await askDaemon(join(mirror.storePath, 'owner.sock'), 'POST', '/api/v1/gc', {
    body: { dryRun: true },
    onProgress: progress => seen.push(progress),
  });
  expect([status, JSON.parse(String(body)).dryRun]).toEqual([200, true]);
  expect(seen[0]).toEqual({ done: 0, total: 2, unit: 'repositories', note: 'team/a' });
});
