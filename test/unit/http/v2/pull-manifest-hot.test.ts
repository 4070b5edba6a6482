/** Manifests that are answered before the application: the same answer, and only to requests that ask for nothing else. */
import { describe, expect, it } from 'vitest';
import { Access } from '../../../../src/auth/access.ts';
import { Rules } from '../../../../src/auth/rules.ts';
import { parseScopes } from '../../../../src/auth/tokens/scope.ts';
import { request } from '../../../support/client.ts';
import { type ServedApp, serveApp } from '../../../support/served-app.ts';
import { basic, testUsers } from '../../../support/users.ts';

const mediaType = 'application/vnd.oci.image.manifest.v1+json';
const bytes = Buffer.from('{"schemaVersion":2,"text":"\u00e9"}');
const path = '/v2/team/app/manifests/1?ns=GHCR.io';

type Ask = Parameters<typeof request>[1];

async function serve(isHot: boolean, access?: Access): Promise<ServedApp & { digest: string }> {
  const app = await serveApp(access === undefined ? {} : { access });
  const digest = app.ghcr.addManifest(bytes, mediaType, '1');
  app.hub.addManifest(bytes, mediaType, '1');
  for (const registry of [app.ghcr, app.hub]) registry.isHot = isHot;
  return Object.assign(app, { digest });
}

/** Everything of an answer but its time, and what was logged and counted but how long it took. */
async function observe(app: ServedApp, ask: Ask) {
  const { status, headers, body, end, surplusBytes } = await request(app.url, ask).done;
  await app.ended(1);
  const [line] = app.lines.filter(({ msg }) => msg === 'request');
  return {
    answer: {
      status,
      headers: [...headers].filter(([name]) => name !== 'date' && name !== 'x-request-id').sort(),
      body,
      end,
      surplusBytes,
    },
    ended: { ...app.ends[0], seconds: 0, firstByteSeconds: 0 },
    line: { ...line, time: '', ms: 0, firstByteMs: 0, requestId: typeof line?.['requestId'] },
  };
}

const bare = 'Host: mirror.lan\r\n\r\n';

describe('a manifest that can be had at once', () => {
  it.each<[string, Ask]>([
    ['GET by tag', { path }],
    ['HEAD by tag', { path, method: 'HEAD' }],
    ['GET by digest, without ns', { path: '/v2/library/app/manifests/DIGEST' }],
    ['a one-segment name of the default upstream', { path: '/v2/app/manifests/1' }],
    ['an absolute target', { path: 'http://elsewhere.lan/v2/team/app/manifests/1?ns=ghcr.io' }],
    ['HTTP/1.0', { raw: `GET ${path} HTTP/1.0\r\n${bare}` }],
    ['with a user agent and a type', { path, headers: { 'User-Agent': 'docker/28', Accept: mediaType } }],
  ])('is answered, logged and counted as one that was waited for: %s', async (_what, ask) => {
    const waited = await serve(false);
    const hot = await serve(true);
    const real = { ...ask, ...(ask?.path && { path: ask.path.replace('DIGEST', hot.digest) }) };
    const expected = await observe(waited, real);
    expect(expected.answer.status).toBe(200);
    expect(await observe(hot, real)).toEqual(expected);
    expect([...hot.ghcr.asked, ...hot.hub.asked]).toEqual([]);
  });

  it.each<[string, Ask, number]>([
    ['a condition', { path, headers: { 'If-None-Match': '*' } }, 304],
    ['a wish to hear the upstream', { path, headers: { 'Cache-Control': 'no-cache' } }, 200],
    ['a body', { path, headers: { 'Content-Length': '2' }, body: '{}' }, 200],
    ['no Host in HTTP/1.0', { raw: `GET ${path} HTTP/1.0\r\n\r\n` }, 200],
  ])('is left to the application when the request has %s', async (_what, ask, status) => {
    const app = await serve(true);
    expect((await request(app.url, ask).done).status).toBe(status);
    expect(app.ghcr.asked.map(({ method }) => method)).toEqual(['manifest']);
  });

  it('has the headers of the manifest that its tag leads to now, each time', async () => {
    const app = await serve(true);
    const read = async () => {
      const { headers, body } = await request(app.url, { path }).done;
      const named = ['docker-content-digest', 'etag', 'content-type', 'content-length'].map(name =>
        headers.get(name),
      );
      return [...named, body.toString()];
    };
    const first = [app.digest, `"${app.digest}"`, mediaType, String(bytes.length), bytes.toString()];
    expect([await read(), await read()]).toEqual([first, first]);
    const text = '{"schemaVersion":2,"text":"moved"}';
    const digest = app.ghcr.addManifest(Buffer.from(text), 'application/x.other', '1');
    expect(await read()).toEqual([digest, `"${digest}"`, 'application/x.other', String(text.length), text]);
    expect(app.ghcr.asked).toEqual([]);
  });

  it('is left to the application when it is stale, or of a type that fits no header', async () => {
    const app = await serve(true);
    app.ghcr.answer = { outcome: 'stale', stale: 'slow' };
    expect((await request(app.url, { path }).done).headers.has('warning')).toBe(true);
    app.ghcr.answer = { outcome: 'hit' };
    app.ghcr.addManifest(bytes, 'application/\nx', '1');
    expect((await request(app.url, { path }).done).status).toBe(200);
  });

  it('is given at once for a token that was verified before and is for it, and to no other credentials', async () => {
    const users = testUsers();
    const access = new Access({ users, rules: new Rules(undefined, { hasUsers: true }) });
    const app = await serve(true, access);
    const asked = async (Authorization: string) => {
      const { status } = await request(app.url, { path, headers: { Authorization } }).done;
      return [status, app.ghcr.asked.splice(0).length];
    };
    const token = async (...scopes: readonly string[]) =>
      `Bearer ${(await users.tokens.issue({ user: 'alice', groups: [] }, parseScopes(scopes))).token}`;
    const right = await token('repository:team/app:pull');
    expect([await asked(right), await asked(right)]).toEqual([
      [200, 1],
      [200, 0],
    ]);
    const other = await token('repository:team/other:pull');
    expect([await asked(other), await asked(other)]).toEqual([
      [401, 0],
      [401, 0],
    ]);
    expect([await asked(basic('alice')), await asked('Bearer x')]).toEqual([
      [200, 1],
      [401, 0],
    ]);
    await app.ended(6);
    expect(app.lines.filter(({ msg }) => msg === 'request').map(({ user }) => user)).toEqual([
      'alice',
      'alice',
      'alice',
      'alice',
      'alice',
      undefined,
    ]);
  });

  it('is refused to callers without a rule', async () => {
    const access = new Access({ users: undefined, rules: new Rules([]) });
    const app = await serve(true, access);
    expect((await request(app.url, { path }).done).status).toBe(403);
  });

  it.each(['/v2/team/app/manifests/1?ns=nobody.lan', '/v2/team/App/manifests/1', '/v2/a/b/manifests/none'])(
    'leaves errors to the application: %s',
    async wrong => {
      const [waited, hot] = [await serve(false), await serve(true)];
      const expected = await observe(waited, { path: wrong });
      expect(expected.answer.status).toBeGreaterThanOrEqual(400);
      expect(await observe(hot, { path: wrong })).toEqual(expected);
    },
  );

  it('is not remembered under a name that means something else to another client', async () => {
    const app = await serve(true);
    app.ghcr.addManifest(Buffer.from('{}'), mediaType, '2');
    app.hub.addManifest(bytes, mediaType, '2');
    const other = '/v2/team/app/manifests/2?ns=ghcr.io';
    const asked = (host: string) => request(app.url, { path: other, headers: { Host: host } }).done;
    expect((await asked('mirror.lan')).body.toString()).toBe('{}');
    expect((await asked('ghcr.io')).body).toEqual(bytes); // the mirror itself is called so: as if there were no ns
  });

  it('is looked up once under a short name, and each time under a long one, of which clients can make up many', async () => {
    const app = await serve(true);
    for (const query of ['', `&text=${'a'.repeat(2000)}`]) {
      for (let time = 0; time < 2; time += 1) {
        expect((await request(app.url, { path: `${path}${query}` }).done).status).toBe(200);
      }
    }
    expect([app.lookedUp, app.ghcr.asked]).toEqual([['team/app', 'team/app', 'team/app'], []]);
  });
});
