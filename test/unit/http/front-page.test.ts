/** The first thing that a person sees, and requests that no proxy and no server should read differently. */
import { expect, test } from 'vitest';
import { get, head, request } from '../../support/client.ts';
import { serveApp } from '../../support/served-app.ts';

test('GET / says in text what this is and where to go', async () => {
  const { url, lookedUp } = await serveApp();
  const answer = await get(url, '/');
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8']);
  const text = answer.body.toString();
  for (const part of ['Cistern', '/v2/', '/healthz', '/metrics', 'cistern client docker'])
    expect(text).toContain(part);
  expect(await head(url, '/')).toMatchObject({ status: 200, bytes: 0 });
  expect(lookedUp).toEqual([]);
});

test('a browser is sent to the page, and any other path is an error as before', async () => {
  const { url } = await serveApp();
  const answer = await get(url, '/', { headers: { Accept: 'text/html,application/xhtml+xml' } });
  expect([answer.status, answer.headers.get('location'), answer.headers.get('vary')]).toEqual([
    302,
    '/ui/',
    'Accept',
  ]);
  expect((await get(url, '/index.html')).status).toBe(404);
  expect((await get(url, '/', { method: 'POST' })).status).toBe(404);
});

test.each(['/v2/', '/v2/a/b/manifests/1', '/healthz', '/'])('two Host headers are 400 on %s', async path => {
  const { url, hub } = await serveApp();
  hub.addManifest(Buffer.from('{}'), 'application/x', '1');
  const raw = `GET ${path} HTTP/1.1\r\nHost: a\r\nhOST: b\r\nConnection: close\r\n\r\n`;
  const answer = await request(url, { raw }).done;
  expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/json']);
  expect(answer.body.toString()).toContain('more than one Host header');
});

test.each([
  ['one that is fit is kept', 'trace-1.2_3', /^trace-1\.2_3$/],
  ['one that is not is replaced', 'a b"<script>', /^[0-9a-f-]{36}$/],
  ['one that is too long is replaced', 'x'.repeat(129), /^[0-9a-f-]{36}$/],
  ['without one it is made', undefined, /^[0-9a-f-]{36}$/],
])('X-Request-Id: %s, in the answer and in the log', async (_what, id, expected) => {
  const { url, lines, ended } = await serveApp();
  const answer = await get(url, '/v2/', { headers: { ...(id !== undefined && { 'X-Request-Id': id }) } });
  expect(answer.headers.get('x-request-id')).toMatch(expected);
  await ended(1);
  const line = lines.find(({ msg }) => msg === 'request');
  expect(line?.['requestId']).toBe(answer.headers.get('x-request-id'));
});
