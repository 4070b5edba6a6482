/**
 * Stores and configurations of earlier commits (test/fixtures, made by make-store.mjs with the build of that commit): this version opens them,
 * answers all that they answered without their upstreams, and fetches nothing again with them.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { startMirror } from '../../src/app/mirror.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createLogger } from '../../src/log.ts';
import { type Digest, hexOf, isDigest } from '../../src/oci/digest.ts';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get, request } from '../support/client.ts';
import { unusedPort } from '../support/ports.ts';
import { filesUnder, tempDir } from '../support/temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';
import type { AuthOptions } from '../support/upstream-auth.ts';

const fixtures = join(import.meta.dirname, '../fixtures');
const digest = z.string().refine(isDigest);
const expectation = z.object({
  commit: z.string(),
  /** Milliseconds since the epoch. */
  madeAt: z.number(),
  requests: z.array(
    z.object({
      path: z.string(),
      user: z.string().optional(),
      status: z.number(),
      sha256: digest.optional(),
      json: z.unknown().optional(),
    }),
  ),
  upstreams: z.array(
    z.object({
      host: z.string(),
      name: z.string(),
      isPrivate: z.boolean(),
      manifests: z.array(z.object({ digest, mediaType: z.string() })),
      blobs: z.array(digest),
      tags: z.record(z.string(), digest),
    }),
  ),
  session: z
    .object({
      location: z.string(),
      at: z.number(),
      text: z.string(),
      digest,
      history: z.object({ latest: z.tuple([digest, digest]), gone: digest }),
    })
    .optional(),
});
type Expectation = z.infer<typeof expectation>;

const alice = { Authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` };

interface Fixture {
  readonly folder: string;
  readonly expected: Expectation;
}

async function unpack(name: string): Promise<Fixture> {
  const folder = await tempDir();
  execFileSync('tar', ['-xzf', join(fixtures, `${name}.tar.gz`), '-C', folder]);
  const expected = expectation.parse(JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')));
  return { folder, expected };
}

function bytesOf({ folder }: Fixture, wanted: Digest): Buffer {
  const hex = hexOf(wanted);
  return readFileSync(join(folder, 'data/blobs-v1/sha256', hex.slice(0, 2), hex));
}

/** What the upstreams had then. */
async function startUpstreams(fixture: Fixture): Promise<ReadonlyMap<string, FakeUpstream>> {
  const upstreams = new Map<string, FakeUpstream>();
  const anonymous = fixture.expected.upstreams.flatMap(({ name, isPrivate }) => (isPrivate ? [] : [name]));
  const auth: AuthOptions = { kind: 'basic', accounts: { someone: { password: 'secret' } }, anonymous };
  for (const { host, name, manifests, blobs, tags } of fixture.expected.upstreams) {
    const upstream = upstreams.get(host) ?? (await startFakeUpstream({ auth }));
    upstreams.set(host, upstream);
    for (const { digest, mediaType } of manifests)
      upstream.putManifest(name, bytesOf(fixture, digest), mediaType);
    for (const digest of blobs) upstream.putBlob(name, digest, bytesOf(fixture, digest));
    for (const [tag, digest] of Object.entries(tags)) upstream.tag(name, tag, digest);
  }
  return upstreams;
}

/** In this process, with its own mirror.yml, an hour after it was made. Without upstreams their addresses are dead. */
async function start(
  { folder, expected }: Fixture,
  upstreams: ReadonlyMap<string, FakeUpstream> | undefined,
): Promise<{ readonly url: string }> {
  const dead = `http://127.0.0.1:${await unusedPort()}`;
  const env = {
    CISTERN_UPSTREAMS_DOCKER_IO_URL: upstreams?.get('docker.io')?.url ?? dead,
    CISTERN_UPSTREAMS_GHCR_IO_URL: upstreams?.get('ghcr.io')?.url ?? dead,
  };
  const { config } = await loadConfig({ file: join(folder, 'mirror.yml'), env, cwd: folder });
  const logger = createLogger({ level: 'info', format: 'json', write: () => {} });
  const aheadMs = expected.madeAt + 3_600_000 - Date.now();
  const mirror = await startMirror(config, { logger, now: () => Date.now() + aheadMs });
  onTestFinished(() => mirror.close({ drainMs: 0 }));
  await mirror.settled;
  const [url = ''] = mirror.urls;
  return { url };
}

async function expectAnswers({ url }: { readonly url: string }, { expected }: Fixture): Promise<void> {
  for (const { path, user, status, sha256, json } of expected.requests) {
    const answer = await get(url, path, { headers: user === 'alice' ? alice : {} });
    expect(answer.status, path).toBe(status);
    if (sha256 !== undefined) expect(answer.sha256, path).toBe(sha256);
    if (json !== undefined) expect(JSON.parse(answer.body.toString()), path).toEqual(json);
  }
}

function write(
  { url }: { readonly url: string },
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: Buffer,
) {
  return request(url, { method, path, headers: { ...alice, ...headers }, ...(body && { body }) }).done;
}

describe.each(['store-before-hosted', 'store-with-hosted'])('%s', name => {
  test('its mirror.yml says nothing that this version warns of', async () => {
    const { folder } = await unpack(name);
    const { warnings } = await loadConfig({ file: join(folder, 'mirror.yml'), env: {}, cwd: folder });
    expect(warnings).toEqual([]);
  });

  test('all that it answered is answered while its upstreams are away, and no file of it goes', async () => {
    const fixture = await unpack(name);
    const before = await filesUnder(join(fixture.folder, 'data/blobs-v1'));
    await expectAnswers(await start(fixture, undefined), fixture);
    expect(await filesUnder(join(fixture.folder, 'data/blobs-v1'))).toEqual(before);
  });

  test('nothing is fetched again: its upstreams see a HEAD for each tag, its lists, and what was missing', async () => {
    const fixture = await unpack(name);
    const upstreams = await startUpstreams(fixture);
    await expectAnswers(await start(fixture, upstreams), fixture);
    const lines = [...upstreams].map(([host, upstream]) => [host, upstream.lines({ repository: true })]);
    expect(lines).toEqual([
      [
        'docker.io',
        [
          'HEAD library/alpine manifests/3.20',
          'HEAD library/alpine manifests/latest',
          'GET library/alpine tags/list?n=1000',
          'HEAD library/tools manifests/1',
          'GET library/tools tags/list?n=1000',
          'GET acme/secret manifests/1', // without credentials: is it public now?
          'HEAD acme/secret manifests/1',
          'HEAD acme/secret manifests/1',
          'GET acme/secret tags/list?n=1000',
          expect.stringMatching(/^GET library\/tools referrers\/sha256:/),
          expect.stringMatching(/^GET library\/tools manifests\/sha256-.*\.sig$/),
        ],
      ],
      ['ghcr.io', ['HEAD acme/chart manifests/v1', 'GET acme/chart tags/list?n=1000']],
    ]);
  });

  test('its pins hold', async () => {
    const { folder } = await unpack(name);
    const { images } = await runForJson(join(folder, 'mirror.yml'), 'ls', '--json');
    expect(images).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ repository: 'docker.io/library/alpine', tag: '3.20', pinned: false }),
        expect.objectContaining({ repository: 'docker.io/library/tools', tag: '1', pinned: true }),
      ]),
    );
  });
});

test('store-with-hosted: sessions go on, tags have their history, what was deleted comes back, immutable tags stay', async () => {
  const fixture = await unpack('store-with-hosted');
  const { session } = fixture.expected;
  if (session === undefined) throw new Error('expected a session');
  const mirror = await start(fixture, undefined);
  const { location, at, text, history } = session;
  const offset = await get(mirror.url, location, { headers: alice });
  expect([offset.status, offset.headers.get('range')]).toEqual([204, `0-${at - 1}`]);
  const rest = Buffer.from(text).subarray(at);
  expect((await write(mirror, 'PUT', `${location}?digest=${session.digest}`, {}, rest)).status).toBe(201);
  expect((await get(mirror.url, `/v2/team/app/blobs/${session.digest}`, { headers: alice })).sha256).toBe(
    session.digest,
  );

  const file = join(fixture.folder, 'mirror.yml');
  const [second, first] = history.latest;
  const moves = await runForJson(file, 'history', 'team/app:latest');
  expect(moves).toMatchObject({ moves: [{ digest: second, user: 'alice' }, { digest: first }] });
  expect((await runCistern(file, 'restore', 'team/app:latest')).code).toBe(0);
  expect((await get(mirror.url, '/v2/team/app/manifests/latest', { headers: alice })).sha256).toBe(first);
  expect((await runCistern(file, 'restore', `team/app@${history.gone}`)).code).toBe(0);
  expect((await get(mirror.url, '/v2/team/app/manifests/gone', { headers: alice })).sha256).toBe(
    history.gone,
  );
  const { body: bytes, headers } = await get(mirror.url, `/v2/team/app/manifests/${second}`, {
    headers: alice,
  });
  const type = { 'Content-Type': headers.get('content-type') ?? '' };
  for (const [tag, status] of [
    ['v1', 409],
    ['next', 201],
  ] as const)
    expect((await write(mirror, 'PUT', `/v2/team/app/manifests/${tag}`, type, bytes)).status).toBe(status);
});
