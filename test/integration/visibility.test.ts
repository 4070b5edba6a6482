/**
 * An upstream whose credentials open a private repository beside a public one: who gets what through the mirror, in every
 * way of asking, warm, cold and in between; and that no secret leaves the place it belongs to.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { type CallResult, get, head, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const big = 3_000_000;
const open = buildImage({ layers: ['open layer', patternBlob('shared', 2000)] });
const closed = buildImage({ layers: ['closed layer', patternBlob('closed big', big)] });
const accountPassword = 'planted-upstream-password';
const alicePassword = 'planted-alice-password';
const dayMs = 24 * 3600_000;

function basic(name: string, password: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
}
const alice = basic('alice', alicePassword);

interface Rig {
  readonly upstream: FakeUpstream;
  readonly mirror: TestMirror;
  readonly clock: { ms: number };
}

async function start(options: TestMirrorOptions = {}, put = true): Promise<Rig> {
  const upstream = await startFakeUpstream({
    redirect: true,
    auth: {
      kind: 'token',
      anonymous: ['library/open'],
      accounts: { u: { password: accountPassword, repositories: ['library/open', 'library/closed'] } },
    },
  });
  if (put) {
    upstream.put('library/open', open, 'latest');
    upstream.put('library/closed', closed, 'latest');
  }
  const htpasswd = join(await tempDir(), 'htpasswd');
  const line = `alice:${(await hash(alicePassword, 4)).replace('$2b$', '$2y$')}\n`;
  await writeFile(htpasswd, `${line}mallory:${await hash('other', 4)}\n`);
  const clock = { ms: 1_700_000_000_000 };
  const mirror = await startTestMirror({
    upstream,
    hub: { username: 'u', password: accountPassword, timeouts: { first_byte: '900ms', connect: '400ms' } },
    now: () => clock.ms,
    ...options,
    config: {
      access: {
        htpasswd,
        rules: [
          { repositories: ['docker.io/**'], users: ['anonymous'] },
          { repositories: ['docker.io/library/closed'], users: ['alice'] },
        ],
      },
      ...options.config,
    },
  });
  return { upstream, mirror, clock };
}

/** Every way of asking for an image, by name. */
function ways(
  name: string,
  image: BuiltImage,
): Record<string, (url: string, headers: object) => Promise<CallResult>> {
  const layer = image.layers[0]?.descriptor.digest ?? '';
  const local = `/v2/library/${name}`;
  const path = `/v2/docker.io/library/${name}`;
  const plain =
    (target: string, more = {}) =>
    (url: string, headers: object) =>
      get(url, target, { headers: { ...headers, ...more } });
  const asHead = (target: string) => (url: string, headers: object) =>
    head(url, target, { headers: { ...headers } });
  return {
    tag: plain(`${local}/manifests/latest`),
    'tag by HEAD': asHead(`${local}/manifests/latest`),
    'tag, no-cache': plain(`${local}/manifests/latest`, { 'Cache-Control': 'no-cache' }),
    digest: plain(`${local}/manifests/${image.digest}`),
    'digest by HEAD': asHead(`${local}/manifests/${image.digest}`),
    'digest, If-None-Match': plain(`${local}/manifests/${image.digest}`, {
      'If-None-Match': `"${image.digest}"`,
    }),
    blob: plain(`${local}/blobs/${layer}`),
    'blob by HEAD': asHead(`${local}/blobs/${layer}`),
    'blob, If-None-Match': plain(`${local}/blobs/${layer}`, { 'If-None-Match': `"${layer}"` }),
    range: plain(`${local}/blobs/${layer}`, { Range: 'bytes=2-5' }),
    suffix: plain(`${local}/blobs/${layer}`, { Range: 'bytes=-3' }),
    'two ranges': plain(`${local}/blobs/${layer}`, { Range: 'bytes=0-1,4-5' }),
    'beyond the end': plain(`${local}/blobs/${layer}`, { Range: 'bytes=99999999-' }),
    'tag by ns': plain(`${local}/manifests/latest?ns=docker.io`),
    'blob by ns': plain(`${local}/blobs/${layer}?ns=registry-1.docker.io`),
    'tag by path': plain(`${path}/manifests/latest`),
    'digest by path': plain(`${path}/manifests/${image.digest}`),
    'blob by path': plain(`${path}/blobs/${layer}`),
    tags: plain(`${local}/tags/list`),
    referrers: plain(`${local}/referrers/${image.digest}`),
  };
}

const others: readonly [string, Record<string, string>][] = [
  ['without a login', {}],
  ['logged in as another user', basic('mallory', 'other')],
];

async function expectHidden({ mirror }: Rig, image = closed, name = 'closed'): Promise<void> {
  for (const [who, headers] of others) {
    for (const [way, ask] of Object.entries(ways(name, image))) {
      const { status, body, headers: answered } = await ask(mirror.url, headers);
      expect(status, `${way} ${who}`).toBe(404);
      const text = body.toString();
      expect(text, way).not.toContain('layer');
      expect([...answered.keys()], way).not.toContain('docker-content-digest');
      expect([...answered.keys()], way).not.toContain('www-authenticate');
    }
  }
}

async function expectGiven({ mirror }: Rig, name: string, image: BuiltImage, headers: object): Promise<void> {
  for (const [way, ask] of Object.entries(ways(name, image))) {
    const { status } = await ask(mirror.url, headers);
    const expected = way.includes('If-None-Match')
      ? 304
      : way === 'beyond the end'
        ? 416
        : /range|suffix/.test(way)
          ? 206
          : 200;
    expect(status, `${name} by ${way}`).toBe(expected);
  }
}

async function warm(
  { mirror }: Rig,
  name: string,
  image: BuiltImage,
  headers: Record<string, string>,
): Promise<void> {
  expect((await get(mirror.url, `/v2/library/${name}/manifests/latest`, { headers })).sha256).toBe(
    image.digest,
  );
  for (const { descriptor } of image.blobs) {
    const { sha256 } = await get(mirror.url, `/v2/library/${name}/blobs/${descriptor.digest}`, { headers });
    expect(sha256).toBe(descriptor.digest);
  }
}

test('cold, each way of asking by itself: the private one is hidden from the first ask on', async () => {
  for (const way of Object.keys(ways('closed', closed))) {
    const { mirror } = await start();
    for (const [who, headers] of others) {
      expect((await ways('closed', closed)[way]?.(mirror.url, headers))?.status, `${way} ${who}`).toBe(404);
    }
  }
}, 120_000);

test('cold, each way of asking by itself: every caller gets the public one', async () => {
  for (const way of [
    'tag',
    'tag by HEAD',
    'digest',
    'digest by HEAD',
    'blob',
    'blob by HEAD',
    'range',
    'tags',
    'referrers',
  ]) {
    const { mirror } = await start();
    expect((await ways('open', open)[way]?.(mirror.url, {}))?.status, way).toBe(way === 'range' ? 206 : 200);
  }
}, 120_000);

test('warm: every caller gets the public one, the named user both, all others see no private one', async () => {
  const rig = await start();
  await expectGiven(rig, 'open', open, {});
  await warm(rig, 'closed', closed, alice);
  await expectHidden(rig);
  await expectGiven(rig, 'closed', closed, alice);
  await expectGiven(rig, 'open', open, alice);
  await expectHidden(rig);
});

test('the tag of the public one is checked without the credentials, and its manifest pulled by digest without them', async () => {
  const rig = await start();
  await head(rig.mirror.url, '/v2/library/open/manifests/latest');
  await get(rig.mirror.url, '/v2/library/open/manifests/latest');
  const accounts = rig.upstream.tokens?.grants.map(
    ({ account, scopes }) => `${account ?? 'anonymous'} ${scopes}`,
  );
  expect(accounts).toEqual(['anonymous repository:library/open:pull']);
});

test('blobs of a public repository are asked for without the credentials, held and cold', async () => {
  const upstream = await startFakeUpstream({
    auth: { kind: 'basic', anonymous: ['library/open'], accounts: { u: { password: accountPassword } } },
  });
  upstream.put('library/open', open, 'latest');
  upstream.put('library/closed', closed, 'latest');
  const rig = await start({ upstream }, false);
  await warm(rig, 'closed', closed, alice); // from here on the credentials would go first
  await warm(rig, 'open', open, {});
  const foreign = closed.layers[1]?.descriptor.digest ?? '';
  expect((await get(rig.mirror.url, `/v2/library/open/blobs/${foreign}`)).status).toBe(404);
  const asked = upstream.requests.filter(({ repository }) => repository === 'library/open');
  const blobs = asked.filter(({ kind }) => kind === 'blob').map(({ authorization }) => authorization);
  expect(blobs.length).toBeGreaterThan(2);
  expect(new Set(blobs)).toEqual(new Set(['none']));
});

test('while its ingest runs for the named user, others can not join it', async () => {
  const rig = await start();
  const layer = closed.layers[1]?.descriptor.digest ?? '';
  await warmManifest(rig);
  const gate = rig.upstream.holdAfter({ digest: layer }, 2_000_000);
  const path = `/v2/library/closed/blobs/${layer}`;
  const hers = request(rig.mirror.url, { path, headers: alice });
  await hers.atLeast(1_000_000);
  await gate.reached;
  for (const [, headers] of others) {
    for (const more of [{}, { Range: 'bytes=0-9' }, { Range: 'bytes=100-' }]) {
      expect((await get(rig.mirror.url, path, { headers: { ...headers, ...more } })).status).toBe(404);
      expect((await get(rig.mirror.url, `/v2/library/open/blobs/${layer}`, { headers })).status).toBe(404);
    }
    expect((await head(rig.mirror.url, path, { headers })).status).toBe(404);
  }
  await expectHidden(rig);
  gate.release();
  expect((await hers.done).sha256).toBe(layer);
});

async function warmManifest({ mirror }: Rig): Promise<void> {
  const { status } = await get(mirror.url, '/v2/library/closed/manifests/latest', { headers: alice });
  expect(status).toBe(200);
}

test('passed through for want of room: the same', async () => {
  const rig = await start({ config: { store: { max_size: '1MB' } } });
  const layer = closed.layers[1]?.descriptor.digest ?? '';
  const path = `/v2/library/closed/blobs/${layer}`;
  await warmManifest(rig);
  expect((await get(rig.mirror.url, path, { headers: alice })).sha256).toBe(layer);
  expect((await get(rig.mirror.url, path)).status).toBe(404);
  expect((await get(rig.mirror.url, path, { headers: { Range: 'bytes=9-19' } })).status).toBe(404);
});

test('a private blob is not served through a public repository; a public one is served to all, also offline', async () => {
  const rig = await start();
  await warm(rig, 'closed', closed, alice);
  await warm(rig, 'open', open, {});
  for (const { descriptor } of closed.blobs.filter(
    blob => !open.blobs.some(mine => mine.descriptor.digest === blob.descriptor.digest),
  )) {
    expect((await get(rig.mirror.url, `/v2/library/open/blobs/${descriptor.digest}`)).status).toBe(404);
  }
  await rig.upstream.refuse();
  const layer = open.layers[0]?.descriptor.digest ?? '';
  const before = rig.upstream.requests.length;
  expect((await get(rig.mirror.url, `/v2/library/open/blobs/${layer}`)).status).toBe(200);
  expect(rig.upstream.requests.length).toBe(before);
});

test('the visibility outlives a restart and a day while the upstream is away; without one it is 503', async () => {
  const rig = await start();
  await warm(rig, 'open', open, {});
  await warm(rig, 'closed', closed, alice);
  await rig.mirror.close();
  await rig.upstream.refuse();
  const again = await start({
    storePath: rig.mirror.storePath,
    upstream: rig.upstream,
    now: () => 1_700_000_000_000 + 2 * dayMs,
  });
  await again.mirror.settled();
  expect((await get(again.mirror.url, '/v2/library/open/manifests/latest')).status).toBe(200);
  expect(
    (await get(again.mirror.url, '/v2/library/closed/manifests/latest', { headers: alice })).status,
  ).toBe(200);
  await expectHidden({ ...again, upstream: rig.upstream });
  for (const target of [
    'manifests/latest',
    `manifests/${open.digest}`,
    'tags/list',
    `referrers/${open.digest}`,
  ]) {
    expect((await get(again.mirror.url, `/v2/library/other/${target}`)).status, target).toBe(503);
  }
});

test('held from a time when it was shared with all, and the upstream is away: 503 without a known visibility', async () => {
  const rig = await start({ hub: { username: 'u', password: accountPassword, share: 'all' } });
  await warm(rig, 'closed', closed, {});
  await rig.mirror.close();
  await rig.upstream.refuse();
  const again = await start({ storePath: rig.mirror.storePath, upstream: rig.upstream });
  await again.mirror.settled();
  expect((await get(again.mirror.url, '/v2/library/closed/manifests/latest')).status).toBe(503);
  expect((await get(again.mirror.url, `/v2/library/closed/manifests/${closed.digest}`)).status).toBe(503);
  const layer = closed.layers[0]?.descriptor.digest ?? '';
  expect((await get(again.mirror.url, `/v2/library/closed/blobs/${layer}`)).status).toBe(404);
  expect((await get(again.mirror.url, `/v2/library/open/blobs/${layer}`)).status).toBe(404);
  expect(
    (await get(again.mirror.url, '/v2/library/closed/manifests/latest', { headers: alice })).status,
  ).toBe(200);
});

test('a public repository that turns private is hidden from the next check of its tag on', async () => {
  const anonymous = ['library/open', 'library/second'];
  const upstream = await startFakeUpstream({
    auth: { kind: 'token', anonymous, accounts: { u: { password: accountPassword } } },
  });
  upstream.put('library/open', open, 'latest');
  upstream.put('library/second', buildImage({ layers: ['second'] }), 'latest');
  const rig = await start({ upstream }, false);
  await warm(rig, 'open', open, {});
  const layer = open.layers[0]?.descriptor.digest ?? '';
  expect((await get(rig.mirror.url, '/v2/library/second/manifests/latest')).status).toBe(200);
  expect((await get(rig.mirror.url, `/v2/library/second/blobs/${layer}`)).status).toBe(200);
  anonymous.shift();
  upstream.tokens?.revokeAll();
  rig.clock.ms += 60_000;
  expect((await get(rig.mirror.url, '/v2/library/open/manifests/latest')).status).toBe(404);
  await expectHidden(rig, open, 'open');
  expect((await get(rig.mirror.url, `/v2/library/second/blobs/${layer}`)).status).toBe(404);
});

test('what does not exist and what is hidden get the same answer', async () => {
  const rig = await start();
  await warm(rig, 'closed', closed, alice);
  for (const target of [
    'manifests/latest',
    `manifests/${closed.digest}`,
    `blobs/${closed.digest}`,
    'tags/list',
  ]) {
    const hidden = await get(rig.mirror.url, `/v2/library/closed/${target}`);
    const missing = await get(rig.mirror.url, `/v2/library/nothing/${target}`);
    expect(missing.body.toString(), target).toBe(hidden.body.toString());
    expect([...missing.headers.keys()]).toEqual([...hidden.headers.keys()]);
  }
});

test('the catalog shows private repositories to those who may pull them', async () => {
  const rig = await start();
  await warm(rig, 'open', open, {});
  await warm(rig, 'closed', closed, alice);
  expect(JSON.parse((await get(rig.mirror.url, '/v2/_catalog')).body.toString()).repositories).toEqual([
    'docker.io/library/open',
  ]);
  expect(
    JSON.parse((await get(rig.mirror.url, '/v2/_catalog', { headers: alice })).body.toString()).repositories,
  ).toEqual(['docker.io/library/closed', 'docker.io/library/open']);
});

test('wrong credentials are 401 everywhere, with a realm that answers; what is public needs none', async () => {
  const { mirror } = await start();
  for (const path of ['/v2/', '/v2/library/open/manifests/latest', '/v2/_catalog']) {
    for (const headers of [basic('alice', 'wrong'), basic('nobody', 'x'), { Authorization: 'Basic ?' }]) {
      const { status, headers: answered } = await get(mirror.url, path, { headers });
      expect(status).toBe(401);
      expect(answered.get('www-authenticate')).toBe(`Bearer realm="${mirror.url}/token",service="cistern"`);
    }
    const bearer = await get(mirror.url, path, { headers: { Authorization: 'Bearer x' } });
    expect([bearer.status, bearer.headers.get('www-authenticate')]).toEqual([
      401,
      `Bearer realm="${mirror.url}/token",service="cistern",error="invalid_token"`,
    ]);
    if (path !== '/v2/') expect((await get(mirror.url, path)).status).toBe(200);
  }
  expect((await get(mirror.url, '/v2/')).status).toBe(401);
  expect((await get(mirror.url, '/v2/', { headers: alice })).status).toBe(200);
});

test('without rules no caller gets a private repository; rules without users refuse by name alone', async () => {
  const bare = await start({ config: { access: {} } });
  expect((await get(bare.mirror.url, '/v2/library/closed/manifests/latest', { headers: alice })).status).toBe(
    404,
  );
  expect((await get(bare.mirror.url, '/v2/library/open/manifests/latest')).status).toBe(200);
  const strict = await start({
    config: { access: { rules: [{ repositories: ['docker.io/library/open'], users: ['anonymous'] }] } },
  });
  expect((await get(strict.mirror.url, '/v2/library/open/manifests/latest')).status).toBe(200);
  const before = strict.upstream.requests.length;
  expect((await get(strict.mirror.url, '/v2/library/closed/manifests/latest')).status).toBe(403);
  expect((await get(strict.mirror.url, '/v2/library/nothing/manifests/latest')).status).toBe(403);
  expect(strict.upstream.requests.length).toBe(before);
});

test('planted secrets are in no log, metric, error, and at no host but their own', async () => {
  const rig = await start();
  const { mirror, upstream } = rig;
  await warm(rig, 'closed', closed, alice);
  await warm(rig, 'open', open, {});
  const seen: string[] = [];
  for (const headers of [{}, alice, basic('alice', 'planted-wrong-password')]) {
    for (const ask of Object.values({ ...ways('closed', closed), ...ways('nothing', closed) })) {
      const answer = await ask(mirror.url, headers);
      seen.push(JSON.stringify([...answer.headers]), answer.status >= 400 ? answer.body.toString() : '');
    }
  }
  await upstream.refuse();
  rig.clock.ms += dayMs;
  seen.push(
    (await get(mirror.url, '/v2/library/closed/manifests/latest', { headers: alice })).body.toString(),
  );
  seen.push(JSON.stringify(mirror.log), (await get(mirror.url, '/metrics')).body.toString());
  const bearers = upstream.requests.flatMap(({ headers }) =>
    String(headers['authorization'] ?? '')
      .split(' ')
      .slice(1),
  );
  const signatures = upstream.requests
    .filter(({ host }) => host === 'storage')
    .map(({ path }) => path.split('?')[1] ?? '');
  const planted = [accountPassword, alicePassword, 'planted-wrong-password', ...bearers, ...signatures];
  planted.push(
    ...[alicePassword, 'planted-wrong-password'].map(one => Buffer.from(`alice:${one}`).toString('base64')),
  );
  expect(bearers.length).toBeGreaterThan(3);
  expect(signatures.length).toBeGreaterThan(1);
  for (const secret of new Set(planted)) {
    expect(secret.length).toBeGreaterThan(4);
    for (const text of seen) expect(text).not.toContain(secret);
  }
  const elsewhere = upstream.requests.filter(({ host }) => host === 'storage');
  expect(elsewhere.every(({ authorization }) => authorization === 'none')).toBe(true);
  const atRegistry = JSON.stringify(upstream.requests.map(({ headers, path }) => [headers, path]));
  for (const secret of [
    alicePassword,
    'planted-wrong-password',
    Buffer.from(`alice:${alicePassword}`).toString('base64'),
  ]) {
    expect(atRegistry).not.toContain(secret);
  }
});
