/**
 * Manifests that are answered before the application: any mix of requests gets the same status, headers and body as when a
 * condition that never holds sends the same requests through the application.
 */
import { expect, onTestFinished, test, vi } from 'vitest';
import { ManifestFromMemory } from '../../src/cached/cached-registry.ts';
import { get, request } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const images = ['alpine', 'inside', 'denied', 'open', 'closed'].map(name => buildImage({ layers: [name] }));
const [alpine, inside, denied, open, closed] = images;
const minuteMs = 60_000;

function namesOf({ status, headers }: { status: number; headers: readonly (readonly string[])[] }) {
  return { status, names: headers.map(([name]) => name) };
}

/** The same choices in each run. */
function* choices(seed: number): Generator<number, never, void> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

interface Ask {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function start() {
  const hub = await startFakeUpstream();
  const guarded = await startFakeUpstream({
    auth: { kind: 'basic', anonymous: ['team/open'], accounts: { u: { password: 'p' } } },
  });
  if (!alpine || !inside || !denied || !open || !closed) throw new Error('expected five images');
  hub.put('library/alpine', alpine, 'latest');
  hub.put('library/inside', inside, 'latest');
  hub.put('library/denied', denied, 'latest');
  guarded.put('team/open', open, 'latest');
  guarded.put('team/closed', closed, 'latest');
  const clock = { ms: 1_700_000_000_000 };
  const mirror = await startTestMirror({
    now: () => clock.ms,
    config: {
      http: { names: ['mirror.lan'], trusted_proxies: ['127.0.0.1'] },
      upstreams: {
        'docker.io': { url: hub.url, deny: ['library/denied'] },
        'ghcr.io': { url: guarded.url, username: 'u', password: 'p' },
      },
      access: {
        rules: [
          { repositories: ['docker.io/library/inside'], users: ['anonymous'], from: ['10.0.0.0/8'] },
          { repositories: ['docker.io/library/alpine', 'docker.io/library/denied'], users: ['anonymous'] },
          { repositories: ['ghcr.io/**'], users: ['anonymous'] },
        ],
      },
    },
  });
  const answers = vi.spyOn(ManifestFromMemory.prototype, 'answer');
  onTestFinished(() => answers.mockRestore());
  const observe = async (ask: Ask, more: Readonly<Record<string, string>> = {}) => {
    const { status, headers, body, end } = await request(mirror.url, {
      ...ask,
      headers: { 'X-Request-Id': 'the.same-id_1', ...ask.headers, ...more },
    }).done;
    const compared = [...headers].filter(([name]) => name !== 'date');
    return { status, headers: compared.sort(), body, end };
  };
  const compare = async (ask: Ask): Promise<boolean> => {
    const before = answers.mock.results.length;
    const first = await observe(ask);
    // a tag that is remembered as missing says so in its body: that one is compared with itself
    const quick = first.status === 404 ? await observe(ask) : first;
    expect({ ask, names: namesOf(first) }).toEqual({ ask, names: namesOf(quick) });
    const isHot = answers.mock.results.slice(before).some(({ value }) => value !== undefined);
    const known = answers.mock.results.length;
    expect({ ask, ...quick }).toEqual({ ask, ...(await observe(ask, { 'If-None-Match': '"none"' })) });
    expect(answers.mock.results.length).toBe(known); // the other one went through the application
    return isHot;
  };
  return { hub, mirror, clock, compare };
}

const names = [
  'library/alpine',
  'alpine',
  'library/inside',
  'inside',
  'library/denied',
  'team/open',
  'team/closed',
  'Team/open',
];
const prefixes = ['', '', '', '', '', 'ghcr.io/', 'nobody.lan/'];
const spaces = [
  '',
  '',
  '',
  '?ns=mirror.lan',
  '?ns=ghcr.io',
  '?ns=GHCR.io',
  '?ns=nobody.lan',
  '?ns=a&ns=b',
  '?x=%2e',
];

test.each([1, 2, 3])('any requests get the same either way (seed %i)', async seed => {
  const { mirror, clock, compare } = await start();
  const next = choices(seed);
  const oneOf = <T>(from: readonly T[]): T => {
    const one = from[Math.floor(next.next().value * from.length)];
    if (one === undefined) throw new Error('expected something to choose from');
    return one;
  };
  const references = [
    'latest',
    'latest',
    'latest',
    'none',
    'sha256:short',
    ...images.map(({ digest }) => digest),
  ];
  for (const name of ['library/alpine', 'ghcr.io/team/open', 'ghcr.io/team/closed'])
    await get(mirror.url, `/v2/${name}/manifests/latest`);
  await get(mirror.url, '/v2/library/inside/manifests/latest', {
    headers: { 'X-Forwarded-For': '10.1.1.1' },
  });
  let hot = 0;
  for (let count = 0; count < 300; count += 1) {
    if (next.next().value < 0.05)
      clock.ms += oneOf([1000, minuteMs / 2, minuteMs, 25 * 3_600_000, -minuteMs]);
    const isHot = await compare({
      method: oneOf(['GET', 'GET', 'HEAD']),
      path: `/v2/${oneOf(prefixes)}${oneOf(names)}/manifests/${oneOf(references)}${oneOf(spaces)}`,
      headers: {
        Host: oneOf(['mirror.lan', 'ghcr.io', 'other.lan']),
        'X-Forwarded-For': oneOf(['10.1.1.1', '192.0.2.7', 'nonsense', '::ffff:10.1.1.1']),
      },
    });
    if (isHot) hot += 1;
  }
  expect(hot).toBeGreaterThan(10);
});

test('an image that is not whole gets the same while the upstream is away, and not at once', async () => {
  const { hub, mirror, clock, compare } = await start();
  const headers = { Host: 'mirror.lan' };
  await get(mirror.url, '/v2/library/alpine/manifests/latest');
  await hub.close();
  clock.ms += minuteMs;
  await get(mirror.url, '/v2/library/alpine/manifests/latest'); // notices it
  for (const reference of ['latest', alpine?.digest ?? '']) {
    for (const method of ['GET', 'HEAD']) {
      const path = `/v2/library/alpine/manifests/${reference}`;
      expect(await compare({ method, path, headers })).toBe(false);
    }
  }
});

test('each answer has an id of its own, in the same form either way; that of a request is kept', async () => {
  const { mirror } = await start();
  const path = '/v2/library/alpine/manifests/latest';
  await get(mirror.url, path);
  const ids: string[] = [];
  for (const headers of [{}, {}, { 'If-None-Match': '"none"' }, { 'X-Request-Id': 'mine' }])
    ids.push((await get(mirror.url, path, { headers })).headers.get('x-request-id') ?? '');
  expect(new Set(ids).size).toBe(4);
  const form = (id: string) => id.replace(/[0-9a-f]/g, '0');
  expect(ids.slice(0, 3).map(form)).toEqual(Array(3).fill(form(ids[0] ?? '')));
  expect(ids[3]).toBe('mine');
});
