import { describe, expect, test } from 'vitest';
import { get } from '../../support/client.ts';
import { answer } from '../../support/faults.ts';
import { buildImage } from '../../support/images.ts';
import { startFakeUpstream } from '../../support/upstream.ts';
import type { TokenAuthOptions } from '../../support/upstream-auth.ts';

const name = 'team/app';
const path = `/v2/${name}/manifests/1`;
const scope = `repository:${name}:pull`;
const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const accounts = { ann: { password: 'p:w', repositories: [name] }, bob: { password: 'x', repositories: [] } };

async function startWithTokens(auth: Omit<TokenAuthOptions, 'kind'> = {}) {
  const upstream = await startFakeUpstream({ auth: { kind: 'token', ...auth } });
  upstream.put(name, buildImage(), '1');
  return {
    upstream,
    manifest: (token?: string) =>
      get(upstream.url, path, { headers: { Authorization: token && `Bearer ${token}` } }),
    token: async (wanted: string | undefined, authorization?: string) => {
      const { status, body } = await get(
        upstream.host(auth.server === 'other' ? 'token' : 'registry').url,
        tokenPath(wanted),
        {
          headers: { Authorization: authorization },
        },
      );
      const { token = '', ...rest } = JSON.parse(body.toString());
      return { status, token, rest };
    },
  };
}

const tokenPath = (wanted: string | undefined) =>
  `/token?service=fake.registry${wanted ? `&scope=${encodeURIComponent(wanted)}` : ''}`;

describe('token authentication', () => {
  test('challenges with realm, service and the scope that is needed, and lets the token for it pass', async () => {
    const { upstream, manifest, token } = await startWithTokens();
    const refused = await manifest();
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toBe(
      `Bearer realm="${upstream.url}/token",service="fake.registry",scope="${scope}"`,
    );
    const granted = await token(scope);
    expect(granted.rest).toEqual({ expires_in: 300 });
    expect(await manifest(granted.token)).toMatchObject({ status: 200 });
    expect(upstream.lines({ status: true })).toEqual([
      '401 GET manifests/1',
      'token 200 GET /token',
      '200 GET manifests/1',
    ]);
    expect(upstream.requests.map(entry => entry.authorization)).toEqual(['none', 'none', 'bearer']);
    expect(upstream.tokens?.grants).toEqual([{ account: undefined, scopes: [scope], granted: [name] }]);
  });

  test('the ping needs a token, of any scope', async () => {
    const { upstream, token } = await startWithTokens();
    const { status, headers } = await get(upstream.url, '/v2/');
    expect([status, headers.get('www-authenticate')]).toEqual([401, expect.not.stringContaining('scope=')]);
    const { token: any } = await token(undefined);
    expect(await get(upstream.url, '/v2/', { headers: { Authorization: `Bearer ${any}` } })).toMatchObject({
      status: 200,
    });
  });

  test('a token of another scope, an invented and an expired one are refused with the reason', async () => {
    let now = 0;
    const { manifest, token } = await startWithTokens({ now: () => now, expiresInS: 10 });
    const reason = async (presented: string) =>
      /error="(.+)"/.exec((await manifest(presented)).headers.get('www-authenticate') ?? '')?.[1];
    expect(await reason((await token('repository:other:pull')).token)).toBe('insufficient_scope');
    expect(await reason('invented')).toBe('invalid_token');
    const { token: short } = await token(scope);
    now = 9_999;
    expect(await manifest(short)).toMatchObject({ status: 200 });
    now = 10_000;
    expect(await reason(short)).toBe('invalid_token');
  });

  test('grants what the account may have, and less is no error', async () => {
    const { manifest, token } = await startWithTokens({ anonymous: [], accounts });
    const [ann, bob, anonymous] = [
      await token(scope, basic('ann', 'p:w')),
      await token(scope, basic('bob', 'x')),
      await token(scope),
    ];
    expect([ann.status, bob.status, anonymous.status]).toEqual([200, 200, 200]);
    const statuses = [await manifest(ann.token), await manifest(bob.token), await manifest(anonymous.token)];
    expect(statuses.map(({ status }) => status)).toEqual([200, 401, 401]);
    expect(await token(scope, basic('ann', 'wrong'))).toMatchObject({ status: 401 });
  });

  test('anonymous grants can be for some repositories only', async () => {
    const { upstream, manifest, token } = await startWithTokens({ anonymous: [name] });
    const { token: both } = await token(`${scope} repository:team/secret:pull,push`);
    expect(await manifest(both)).toMatchObject({ status: 200 });
    expect(upstream.tokens?.grants[0]?.granted).toEqual([name]);
  });

  test('revoked tokens are refused', async () => {
    const { upstream, manifest, token } = await startWithTokens();
    const { token: old } = await token(scope);
    upstream.tokens?.revokeAll();
    expect(await manifest(old)).toMatchObject({ status: 401 });
  });

  test('answers can use the other field name and leave the expiry out', async () => {
    const { token } = await startWithTokens({ field: 'access_token', expiresInS: 'omit' });
    const { rest } = await token(scope);
    expect(Object.keys(rest)).toEqual(['access_token']);
  });

  test('the endpoint can be a server of its own, and can fail k times', async () => {
    const { upstream, token } = await startWithTokens({ server: 'other' });
    expect((await get(upstream.url, path)).headers.get('www-authenticate')).toContain(
      `realm="${upstream.host('token').url}/token"`,
    );
    expect(upstream.host('token').port).not.toBe(upstream.port);
    upstream.fault({ kind: 'token' }, answer(503), { times: 2 });
    const statuses = [await token(scope), await token(scope), await token(scope)].map(({ status }) => status);
    expect(statuses).toEqual([503, 503, 200]);
    expect(upstream.lines({ host: 'token' })).toHaveLength(3);
  });

  test('a fault is not used up by a request that is challenged', async () => {
    const { upstream, manifest, token } = await startWithTokens();
    upstream.fault({ reference: '1' }, answer(500));
    expect(await manifest()).toMatchObject({ status: 401 });
    const { token: granted } = await token(scope);
    expect(await manifest(granted)).toMatchObject({ status: 500 });
  });
});

test('Basic authentication lets the right password pass, and anonymous callers where that is configured', async () => {
  const upstream = await startFakeUpstream({ auth: { kind: 'basic', accounts, anonymous: ['open/app'] } });
  for (const repository of [name, 'open/app']) upstream.put(repository, buildImage(), '1');
  const ask = (authorization?: string) =>
    get(upstream.url, path, { headers: { Authorization: authorization } });
  const refused = await ask();
  expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
    401,
    'Basic realm="fake upstream"',
  ]);
  expect(await ask(basic('ann', 'p:w'))).toMatchObject({ status: 200 });
  expect(await ask(basic('ann', 'p'))).toMatchObject({ status: 401 });
  expect(await ask(basic('bob', 'x'))).toMatchObject({ status: 401 });
  expect(await get(upstream.url, '/v2/open/app/manifests/1')).toMatchObject({ status: 200 });
  expect(upstream.requests.map(entry => entry.authorization)).toEqual([
    'none',
    'basic',
    'basic',
    'basic',
    'none',
  ]);
});
