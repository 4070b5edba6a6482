/**
 * Credentials of upstreams over the whole mirror: revoked and rotated ones, several by repository, a helper's, and a prefix
 * in front of all repositories.
 */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { get, head } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';
import type { Account } from '../support/upstream-auth.ts';

const image = buildImage({ layers: ['one'] });
const moved = buildImage({ layers: ['two'] });
const ok = 'cistern_upstream_credentials_ok{upstream="docker.io"}';

async function startGuarded(
  accounts: Record<string, Account>,
  anonymous: readonly string[],
): Promise<FakeUpstream> {
  const upstream = await startFakeUpstream({ auth: { kind: 'token', anonymous, accounts, expiresInS: 1 } });
  for (const repository of ['library/open', 'library/closed']) upstream.put(repository, image, '1');
  return upstream;
}

test('a revoked account: public tags go on with one warning, and a rotated password file is read again', async () => {
  const accounts: Record<string, Account> = { u: { password: 'first' } };
  const upstream = await startGuarded(accounts, ['library/open']);
  const file = join(await tempDir(), 'password');
  await writeFile(file, 'first\n');
  const clock = { ms: Date.now() };
  const mirror = await startTestMirror({
    upstream,
    hub: { username: 'u', password_file: file },
    config: {
      tags: { ttl: '1s', negative_ttl: '1s', on_404: 'honour' },
      access: { rules: [{ repositories: ['**'], users: ['anonymous'] }] },
    },
    now: () => clock.ms,
  });
  const openTag = (tag: string) => get(mirror.url, `/v2/library/open/manifests/${tag}`);
  expect((await openTag('1')).status).toBe(200);
  upstream.put('library/open', moved, '2');
  accounts['u'] = { password: 'second' };
  upstream.tokens?.revokeAll();
  clock.ms += 70_000;
  const second = await openTag('2');
  expect([second.status, second.sha256]).toEqual([200, moved.digest]);
  expect(await mirror.metric(ok)).toBe(0);
  const warned = () =>
    mirror.log.filter(({ level, msg }) => level === 'warn' && /credentials/.test(String(msg)));
  expect(warned()).toHaveLength(1);
  const third = await openTag('3');
  expect([third.status, JSON.parse(third.body.toString()).errors[0].code]).toEqual([404, 'MANIFEST_UNKNOWN']);
  expect(warned()).toHaveLength(1);
  const stats = await get(mirror.url, '/api/v1/stats');
  expect(JSON.parse(stats.body.toString())).toMatchObject({
    daemon: { upstreams: [{ upstream: 'docker.io', credentials: 'refused' }] },
  });
  await writeFile(file, 'second-and-longer\n');
  accounts['u'] = { password: 'second-and-longer' };
  clock.ms += 70_000;
  upstream.put('library/open', image, '4');
  expect((await openTag('4')).status).toBe(200);
  expect(await mirror.metric(ok)).toBe(1);
  expect(upstream.tokens?.grants.at(-1)).toMatchObject({ account: 'u' });
  expect(JSON.stringify(mirror.log)).not.toMatch(/second|first\\n/);
});

test('share: all, and a held tag whose credentials are refused: stale with the reason refused, on_404: honour or not', async () => {
  const accounts: Record<string, Account> = { u: { password: 'p' } };
  const upstream = await startGuarded(accounts, []);
  const clock = { ms: Date.now() };
  const mirror = await startTestMirror({
    upstream,
    hub: { username: 'u', password: 'p', share: 'all' },
    config: { tags: { ttl: '1s', on_404: 'honour' } },
    now: () => clock.ms,
  });
  const path = '/v2/library/closed/manifests/1';
  expect((await get(mirror.url, path)).status).toBe(200);
  for (const { digest } of [image.config, ...image.layers].flatMap(blob => blob?.descriptor ?? []))
    await get(mirror.url, `/v2/library/closed/blobs/${digest}`);
  accounts['u'] = { password: 'other' };
  upstream.tokens?.revokeAll();
  clock.ms += 70_000;
  const stale = await get(mirror.url, path);
  expect([stale.status, stale.sha256]).toEqual([200, image.digest]);
  expect(String(stale.headers.get('warning'))).toContain('refused');
  const missing = await get(mirror.url, '/v2/library/closed/manifests/2');
  expect([missing.status, JSON.parse(missing.body.toString()).errors[0].detail.reason]).toEqual([
    404,
    'refused',
  ]);
});

test('credentials by repository: the first that matches, else the general ones', async () => {
  const accounts = { general: { password: 'g' }, team: { password: 't' } };
  const upstream = await startGuarded(accounts, []);
  const mirror = await startTestMirror({
    upstream,
    hub: {
      username: 'general',
      password: 'g',
      share: 'all',
      credentials: [{ repositories: ['library/cl*'], username: 'team', password: 't' }],
    },
  });
  for (const name of ['open', 'closed', 'open'])
    expect((await get(mirror.url, `/v2/library/${name}/manifests/1`)).status).toBe(200);
  expect(upstream.tokens?.grants.map(({ account, granted }) => [account, granted[0]])).toEqual([
    ['general', 'library/open'],
    ['team', 'library/closed'],
  ]);
});

test('a credential helper is run once, asked again after a refusal, and without it requests are anonymous', async () => {
  const accounts: Record<string, Account> = { helped: { password: '1' } };
  const upstream = await startGuarded(accounts, ['library/open']);
  const folder = await tempDir();
  const script = join(folder, 'docker-credential-test');
  const answer = `'{"ServerURL":"x","Username":"helped","Secret":"%s"}'`;
  await writeFile(
    script,
    `#!/bin/sh\ncd ${folder}\n[ "$1" = get ] || exit 3\n{ cat; echo; } >> asked\n[ -e fails ] && exit 1\nprintf ${answer} "$(wc -l < asked | tr -d ' ')"\n`,
  );
  await chmod(script, 0o755);
  vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
  const clock = { ms: Date.now() };
  const mirror = await startTestMirror({
    upstream,
    hub: { credential_helper: 'test', share: 'all' },
    now: () => clock.ms,
  });
  const pull = async (name: string, reference = '1') =>
    (await get(mirror.url, `/v2/library/${name}/manifests/${reference}`)).status;
  expect([await pull('closed'), await pull('open')]).toEqual([200, 200]);
  expect(upstream.tokens?.grants.map(({ account }) => account)).toEqual(['helped', 'helped']);
  accounts['helped'] = { password: '2' };
  clock.ms += 70_000;
  expect(await pull('closed')).toBe(200);
  expect(upstream.tokens?.grants.at(-1)).toMatchObject({ account: 'helped' });
  await writeFile(join(folder, 'fails'), '');
  clock.ms += 3_700_000;
  expect(await pull('open')).toBe(200);
  expect(upstream.tokens?.grants.at(-1)).toMatchObject({ account: undefined });
  expect(mirror.log.filter(({ msg }) => /credential helper/.test(String(msg)))).toHaveLength(1);
  expect(JSON.stringify(mirror.log)).not.toContain('Secret');
  vi.unstubAllEnvs();
});

test('a prefix stands before each repository and its token scope, and before nothing that clients see', async () => {
  const upstream = await startFakeUpstream({ auth: { kind: 'token' }, quirks: { maxTagsPage: 2 } });
  for (const tag of ['1', '2', '3']) upstream.put('team-proxy/library/alpine', image, tag);
  const mirror = await startTestMirror({ upstream, hub: { prefix: 'team-proxy' } });
  const manifest = await get(mirror.url, '/v2/alpine/manifests/1');
  expect([manifest.status, manifest.sha256]).toEqual([200, image.digest]);
  const layer = image.layers[0]?.descriptor.digest ?? '';
  expect((await get(mirror.url, `/v2/alpine/blobs/${layer}`)).status).toBe(200);
  expect((await head(mirror.url, `/v2/library/alpine/manifests/${image.digest}`)).status).toBe(200);
  const page = await get(mirror.url, '/v2/library/alpine/tags/list?n=2');
  expect(JSON.parse(page.body.toString())).toEqual({ name: 'library/alpine', tags: ['1', '2'] });
  expect(String(page.headers.get('link'))).toMatch(/^<\/v2\/library\/alpine\/tags\/list\?/);
  const rest = await get(mirror.url, '/v2/library/alpine/tags/list?n=2&last=2');
  expect(JSON.parse(rest.body.toString()).tags).toEqual(['3']);
  expect(upstream.tokens?.grants.map(({ granted }) => granted)).toEqual([['team-proxy/library/alpine']]);
  const asked = upstream.requests.map(({ path }) => path).filter(path => path.startsWith('/v2/'));
  expect(asked.filter(path => !path.startsWith('/v2/team-proxy/library/alpine/'))).toEqual([]);
  expect(upstream.lines({ host: 'registry' }).slice(1, 3)).toEqual([manifestLine('1'), blobLine(layer)]);
  const catalog = await get(mirror.url, '/v2/_catalog');
  expect(JSON.parse(catalog.body.toString())).toEqual({ repositories: ['docker.io/library/alpine'] });
});
