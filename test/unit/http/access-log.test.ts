import { describe, expect, it } from 'vitest';
import { Access } from '../../../src/auth/access.ts';
import { Rules } from '../../../src/auth/rules.ts';
import { get, head } from '../../support/client.ts';
import { serveApp } from '../../support/served-app.ts';
import { basic, testUsers } from '../../support/users.ts';

const isRequest = ({ msg }: Record<string, unknown>) => msg === 'request';

describe('access log', () => {
  it('has one line per request that says all of it', async () => {
    const { url, ghcr, lines, ended } = await serveApp();
    const digest = ghcr.addBlob(Buffer.alloc(700));
    ghcr.answer = { outcome: 'joined' };
    await get(url, `/v2/team/app/blobs/${digest}?ns=ghcr.io&X-Sig=hush`, {
      headers: { 'User-Agent': 'containerd/2.1', 'X-Request-Id': 'req-1.a_B' },
    });
    await ended(1);
    expect(lines.filter(isRequest)).toEqual([
      {
        level: 'info',
        time: expect.any(String),
        msg: 'request',
        method: 'GET',
        path: `/v2/team/app/blobs/${digest}?ns=ghcr.io&X-Sig=***`,
        ns: 'ghcr.io',
        status: 200,
        bytes: 700,
        ms: expect.any(Number),
        firstByteMs: expect.any(Number),
        kind: 'blob',
        outcome: 'joined',
        upstream: 'ghcr.io',
        client: '127.0.0.1',
        requestId: 'req-1.a_B',
        userAgent: 'containerd/2.1',
      },
    ]);
  });

  it('names the user of a login that is right, and no other', async () => {
    const { url, hub, lines, ended } = await serveApp({
      access: new Access({ users: testUsers(), rules: new Rules(undefined, { hasUsers: true }) }),
    });
    hub.addManifest(Buffer.from('{}'), 'application/x', '1');
    await get(url, '/v2/a/b/manifests/1', { headers: { Authorization: basic('alice') } });
    await get(url, '/v2/a/b/manifests/1', { headers: { Authorization: basic('mallory', 'wrong') } });
    await get(url, '/v2/a/b/manifests/1');
    await ended(3);
    expect(lines.filter(isRequest).map(({ status, user }) => [status, user])).toEqual([
      [200, 'alice'],
      [401, undefined],
      [200, undefined],
    ]);
  });

  it('says why a request failed', async () => {
    const { url, lines, ended } = await serveApp();
    await get(url, '/v2/a/b/manifests/1');
    await ended(1);
    expect(lines.find(isRequest)).toMatchObject({ status: 404, outcome: 'error', code: 'MANIFEST_UNKNOWN' });
  });

  it('counts no bytes for HEAD and 304', async () => {
    const { url, hub, ended, ends } = await serveApp();
    hub.addManifest(Buffer.from('{}'), 'application/x', '1');
    await head(url, '/v2/a/b/manifests/1');
    await get(url, '/v2/a/b/manifests/1', { headers: { 'If-None-Match': '*' } });
    await get(url, '/v2/a/b/manifests/1');
    await ended(3);
    expect(ends.map(end => [end.method, end.status, end.bytes])).toEqual([
      ['HEAD', 200, 0],
      ['GET', 304, 0],
      ['GET', 200, 2],
    ]);
  });

  it('mentions health checks only for debugging, and counts methods it never heard of as one', async () => {
    const { url, lines, ended, ends } = await serveApp();
    await get(url, '/healthz');
    await get(url, '/v2/', { method: 'PROPFIND' });
    await ended(2);
    expect(lines.filter(isRequest).map(({ level }) => level)).toEqual(['debug', 'info']);
    expect(ends.map(end => [end.method, end.kind, end.upstream])).toEqual([
      ['GET', 'other', 'none'],
      ['OTHER', 'ping', 'none'],
    ]);
  });

  it('names the client behind a trusted proxy', async () => {
    const { url, lines, ended } = await serveApp({ trustedProxies: ['127.0.0.0/8'] });
    await get(url, '/v2/', { headers: { 'X-Forwarded-For': '6.6.6.6, 192.0.2.7, 127.0.0.9' } });
    await ended(1);
    expect(lines.find(isRequest)).toMatchObject({ client: '192.0.2.7' });
  });

  it('believes no other header about it', async () => {
    const { url, lines, ended } = await serveApp({ trustedProxies: ['10.0.0.1', 'fd00::/8'] });
    await get(url, '/v2/', { headers: { 'X-Forwarded-For': '192.0.2.7' } });
    await ended(1);
    expect(lines.find(isRequest)).toMatchObject({ client: '127.0.0.1' });
  });
});
