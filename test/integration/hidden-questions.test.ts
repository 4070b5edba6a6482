/**
 * What is hidden and what doesn't exist cost the upstream the same questions, so that no time tells them apart; and by digest
 * through a public repository no credentials are used.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { answer } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import type { RequestEntry } from '../support/request-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const account = { username: 'u', password: 'planted-password' };
const open = buildImage({ layers: ['open layer'] });
const closed = buildImage({ layers: ['closed layer', patternBlob('closed big', 3000)] });
const layer = closed.layers[0]?.descriptor.digest ?? '';

const alice = { Authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` };

interface Rig {
  readonly upstream: FakeUpstream;
  readonly mirror: TestMirror;
  /** Repositories that need no credentials. */
  readonly anonymous: string[];
  /** What the upstream refused is remembered for a while, whatever was asked. */
  forget(): void;
}

/** With Basic, so that a token that is used up adds no request of its own. */
async function start(): Promise<Rig> {
  const anonymous = ['library/open'];
  const upstream = await startFakeUpstream({
    auth: { kind: 'basic', anonymous, accounts: { u: { password: account.password } } },
  });
  upstream.put('library/open', open, 'latest');
  upstream.put('library/closed', closed, 'latest');
  const htpasswd = join(await tempDir(), 'htpasswd');
  await writeFile(htpasswd, `alice:${(await hash('secret', 4)).replace('$2b$', '$2y$')}\n`);
  const rules = [
    { repositories: ['**'], users: ['anonymous'] },
    { repositories: ['**'], users: ['alice'] },
  ];
  const clock = { ms: Date.now() };
  const mirror = await startTestMirror({
    upstream,
    hub: account,
    now: () => clock.ms,
    config: { access: { htpasswd, rules } },
  });
  const forget = () => {
    clock.ms += 61_000;
  };
  return { upstream, mirror, anonymous, forget };
}

function questions({ upstream }: Rig): string[] {
  const line = ({ method, kind, status, authorization }: RequestEntry) =>
    `${method} ${kind} ${status} ${authorization}`;
  return upstream.requests.map(line);
}

/** A repository, what is asked of it, and how: the question whose answer is 404 in any case. */
const cases: readonly (readonly [string, 'GET' | 'HEAD', (name: string) => string])[] = (
  ['GET', 'HEAD'] as const
).flatMap(method =>
  [
    'manifests/latest',
    'manifests/nosuch',
    `manifests/${closed.digest}`,
    `blobs/${layer}`,
    `blobs/${closed.digest}`,
    'tags/list',
    `referrers/${closed.digest}`,
  ].map(target => [target, method, (name: string) => `/v2/library/${name}/${target}`] as const),
);

const expected: Readonly<Record<string, readonly string[]>> = {
  'GET manifests': ['GET manifest 401 none'],
  'HEAD manifests': ['HEAD manifest 401 none', 'GET manifest 401 none'],
  'GET blobs': ['HEAD blob 401 none'],
  'HEAD blobs': ['HEAD blob 401 none'],
  'GET tags': ['GET tags 401 none'],
  'HEAD tags': ['GET tags 401 none'],
  'GET referrers': ['HEAD manifest 401 none', 'GET manifest 401 none'],
  'HEAD referrers': ['HEAD manifest 401 none', 'GET manifest 401 none'],
};

async function pullAsAlice(url: string, blobs: readonly string[]): Promise<void> {
  expect((await get(url, '/v2/library/closed/manifests/latest', { headers: alice })).status).toBe(200);
  for (const blob of blobs)
    expect((await get(url, `/v2/library/closed/blobs/${blob}`, { headers: alice })).status).toBe(200);
}

test.each([
  ['never asked for', undefined],
  ['known as private', []],
  ['pulled by a user who may', closed.blobs.map(({ descriptor }) => descriptor.digest)],
] as const)(
  'a private repository (%s), a missing one, a missing tag: the same questions, without credentials',
  async (_state, pulled) => {
    const rig = await start();
    const { mirror, upstream } = rig;
    if (pulled !== undefined) await pullAsAlice(mirror.url, pulled);
    for (const [target, method, path] of cases) {
      const [kind = ''] = target.split('/');
      for (const name of ['closed', 'nosuch']) {
        const which = `${method} ${name} ${target}`;
        upstream.log.clear();
        rig.forget();
        for (const time of ['first', 'within negative_ttl']) {
          const { status } = await (method === 'GET' ? get : head)(mirror.url, path(name));
          expect([status, questions(rig)], `${which}, ${time}`).toEqual([404, expected[`${method} ${kind}`]]);
        }
      }
    }
  },
);

test('by digest through a public repository: no credentials, and the same questions for private and missing content', async () => {
  const rig = await start();
  const { mirror, upstream } = rig;
  await pullAsAlice(mirror.url, []);
  expect((await get(mirror.url, '/v2/library/open/manifests/latest')).status).toBe(200);
  const missing = buildImage({ layers: ['nowhere'] }).digest;
  for (const digest of [closed.digest, missing]) {
    upstream.log.clear();
    expect((await get(mirror.url, `/v2/library/open/manifests/${digest}`)).status).toBe(404);
    expect(questions(rig)).toEqual(['GET manifest 404 none']);
    upstream.log.clear();
    rig.forget();
    expect((await head(mirror.url, `/v2/library/open/manifests/${digest}`)).status).toBe(404);
    expect(questions(rig)).toEqual(['HEAD manifest 404 none', 'GET manifest 404 none']);
  }
});

test('by digest through a public repository after 429: with the credentials, which have a limit of their own', async () => {
  const rig = await start();
  const { mirror, upstream } = rig;
  expect((await head(mirror.url, '/v2/library/open/manifests/latest')).status).toBe(200);
  upstream.log.clear();
  upstream.fault({ kind: 'manifest', method: 'GET' }, answer(429));
  expect((await get(mirror.url, `/v2/library/open/manifests/${open.digest}`)).status).toBe(200);
  expect(questions(rig)).toEqual(['GET manifest 429 none', 'GET manifest 200 none']);
});

test('what has become public is given once the refusal is no longer remembered', async () => {
  const rig = await start();
  const ask = async () => (await get(rig.mirror.url, '/v2/library/closed/manifests/latest')).status;
  expect(await ask()).toBe(404);
  await pullAsAlice(rig.mirror.url, []);
  rig.anonymous.push('library/closed');
  expect(await ask()).toBe(404);
  rig.forget();
  rig.upstream.log.clear();
  expect([await ask(), questions(rig)]).toEqual([200, ['GET manifest 200 none', 'HEAD manifest 200 none']]);
});
