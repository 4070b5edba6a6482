/** The built page over HTTP: compressed forms, caching, the policy, views, and no path that leads out of it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import Koa from 'koa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BuiltPage } from '../../../../src/app/page/page-files.ts';
import { answerErrors } from '../../../../src/http/errors.ts';
import { type AppState, Exchange } from '../../../../src/http/exchange.ts';
import { Listener } from '../../../../src/http/server/listener.ts';
import { servePage } from '../../../../src/http/ui/serve-page.ts';
import { get, head, request } from '../../../support/client.ts';
import { Recorder } from '../../../support/recorder.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const html = '<!doctype html><title>Cistern</title>';
const script = 'console.log("page")';
const scriptName = 'assets/main-3f2a9c1b.js';

async function build(): Promise<string> {
  const folder = join(await tempDir(), 'ui');
  await mkdir(join(folder, 'assets'), { recursive: true });
  await writeFile(join(folder, '..', 'secret.html'), 'secret');
  for (const [name, text] of [
    ['index.html', html],
    [scriptName, script],
    ['favicon.svg', '<svg/>'],
  ] as const) {
    await writeFile(join(folder, name), text);
    await writeFile(join(folder, `${name}.br`), brotliCompressSync(text));
    await writeFile(join(folder, `${name}.gz`), gzipSync(text));
  }
  return folder;
}

async function serve(folder: string): Promise<string> {
  const { logger } = new Recorder();
  const app = new Koa<AppState>();
  app.use((context, next) => {
    context.state.exchange = new Exchange(context.res);
    return next();
  });
  app.use(answerErrors(logger));
  app.use(servePage(new BuiltPage(folder)));
  const addresses = [{ host: '127.0.0.1', port: 0 }];
  const listener = await Listener.open({ addresses, handle: app.callback(), logger });
  onTestFinished(() => listener.close({ drainMs: 0 }));
  return listener.urls[0] ?? '';
}

describe('a page that was built', () => {
  test.each([
    ['br, gzip', 'br', brotliCompressSync],
    ['gzip;q=0.5, br;q=0', 'gzip', gzipSync],
    ['identity', undefined, (text: string) => Buffer.from(text)],
  ])('goes out as the client takes it: %s', async (accepted, encoding, form) => {
    const url = await serve(await build());
    const answer = await get(url, '/ui/', { headers: { 'Accept-Encoding': accepted } });
    expect([answer.status, answer.headers.get('content-encoding'), answer.headers.get('vary')]).toEqual([
      200,
      encoding,
      'Accept-Encoding',
    ]);
    expect(answer.body).toEqual(form(html));
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
  });

  test('hashed files are kept for ever, the others are asked about with their ETag', async () => {
    const url = await serve(await build());
    const asset = await get(url, `/ui/${scriptName}`);
    expect([asset.body.toString(), asset.headers.get('cache-control')]).toEqual([
      script,
      'public, max-age=31536000, immutable',
    ]);
    const page = await get(url, '/ui/');
    expect(page.headers.get('cache-control')).toBe('no-cache');
    const headers = { 'If-None-Match': `"other", ${page.headers.get('etag')}` };
    expect(await get(url, '/ui/', { headers })).toMatchObject({ status: 304, bytes: 0 });
    expect(await head(url, '/ui/')).toMatchObject({ status: 200, bytes: 0 });
  });

  test('its policy knows no inline code, no other host and no frame', async () => {
    const { headers } = await get(await serve(await build()), '/ui/');
    const policy = headers.get('content-security-policy') ?? '';
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
    ])
      expect(policy).toContain(part);
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('a link to a view gets the page; a file that isn’t there is 404, also for a browser', async () => {
    const url = await serve(await build());
    const headers = { Accept: 'text/html' };
    const view = await get(url, '/ui/images/docker.io/library/alpine:3.20', { headers });
    expect([view.status, view.body.toString()]).toEqual([200, html]);
    expect((await get(url, '/ui/images/x')).status).toBe(404);
    expect((await get(url, '/ui/assets/old-12345678.js', { headers })).status).toBe(404);
    const start = await get(url, '/ui');
    expect([start.status, start.headers.get('location')]).toEqual([302, '/ui/']);
    expect((await get(url, '/ui/', { method: 'POST' })).status).toBe(405);
  });

  test.each([
    '/ui/../secret.html',
    '/ui/..%2fsecret.html',
    '/ui/%2e%2e/secret.html',
    '/ui/assets/../../secret.html',
    '/ui//etc/passwd',
    '/ui/index.html%00.js',
    '/ui/index.html.br',
    '/ui/assets',
  ])('%s is no file of it', async path => {
    const url = await serve(await build());
    const { status, body } = await request(url, { path }).done;
    expect([status, body.toString().includes('secret')]).toEqual([404, false]);
  });
});

test('without a build it says so, and it is there as soon as it was built', async () => {
  const folder = join(await tempDir(), 'ui');
  const url = await serve(folder);
  const answer = await get(url, '/ui/');
  expect([answer.status, answer.body.toString()]).toEqual([503, expect.stringContaining('npm run build')]);
  await mkdir(folder);
  await writeFile(join(folder, 'index.html'), html);
  expect((await get(url, '/ui/')).status).toBe(200);
});
