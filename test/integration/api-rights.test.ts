/**
 * Who may do what over `/api/v1`: every route for every kind of caller, sessions and their cookie, pages of other origins, and a mirror
 * without users.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { describe, expect, test } from 'vitest';
import { type RouteName, routes } from '../../src/http/api/schema/routes.ts';
import { sessionAnswer } from '../../src/http/api/schema/session.ts';
import { type ApiRig, openImage, pushedImage, startApiRig, type User } from '../support/api-rig.ts';
import { get, request } from '../support/client.ts';
import { startTestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { basic } from '../support/users.ts';

const name = 'docker.io/library/open:latest';

/** What each route is asked with; those of `actions/{action}` are in a table of their own. */
const asked: Readonly<Record<RouteName, { readonly path?: string; readonly body?: object }>> = {
  session: {},
  login: { body: { name: 'reader', password: "reader's" } },
  logout: {},
  setup: {},
  stats: {},
  upstreams: {},
  history: {},
  transfers: {},
  cold: {},
  report: {},
  events: {},
  repositories: {},
  images: {},
  image: { path: `image?name=${name}` },
  offline: {},
  action: { path: 'actions/pin', body: { images: [name] } },
  job: { path: 'jobs/0123456789abcdef01234567' },
  openapi: {},
};

/** Of anonymous callers, readers, writers, administrators. */
const statuses: Readonly<Record<RouteName, readonly [number, number, number, number]>> = {
  session: [200, 200, 200, 200],
  login: [200, 200, 200, 200],
  logout: [204, 204, 204, 204],
  setup: [200, 200, 200, 200],
  stats: [401, 200, 200, 200],
  upstreams: [401, 200, 200, 200],
  history: [401, 200, 200, 200],
  transfers: [401, 200, 200, 200],
  cold: [401, 200, 200, 200],
  report: [401, 200, 200, 200],
  events: [401, 200, 200, 200],
  repositories: [200, 200, 200, 200],
  images: [200, 200, 200, 200],
  image: [200, 200, 200, 200],
  offline: [200, 200, 200, 200],
  action: [401, 403, 403, 202],
  job: [401, 404, 404, 404],
  openapi: [200, 200, 200, 200],
};

const callers: readonly (User | undefined)[] = [undefined, 'reader', 'writer', 'admin'];

/** HEAD of the event stream ends; what it answers with is the same. */
function methodOf(route: RouteName): string {
  return route === 'events' ? 'HEAD' : routes[route].method;
}

test('every route answers each kind of caller as its row says, and no refusal has a challenge', async () => {
  const rig = await startApiRig();
  await rig.pull('library/open', openImage);
  for (const [at, user] of callers.entries()) {
    for (const [route, expected] of Object.entries(statuses) as [RouteName, readonly number[]][]) {
      const { path = routes[route].path, body } = asked[route];
      const answer = await rig.call(methodOf(route), path, { user, ...(body && { body }) });
      const seen = [route, user, answer.status, answer.headers.get('www-authenticate')];
      expect(seen).toEqual([route, user, expected[at], undefined]);
      expect(answer.headers.get('cache-control')).toBe('no-store');
    }
  }
});

const actions: readonly (readonly [string, object])[] = [
  ['warm', { images: [name] }],
  ['pin', { images: [name] }],
  ['unpin', { images: [name] }],
  ['evict', { images: [name] }],
  ['delete', { images: ['team/app:1'] }],
  ['restore', { images: ['team/app:1'] }],
  ['promote', { images: [name], to: 'team/app:2' }],
  ['gc', {}],
  ['scrub', {}],
];

test('every action needs the right to administer what it names, and so does its dry run', async () => {
  const rig = await startApiRig();
  await rig.push('team/app', pushedImage, '1');
  const refused: readonly (readonly [User | undefined, number])[] = [
    [undefined, 401],
    ['reader', 403],
    ['writer', 403],
  ];
  for (const [action, body] of actions)
    for (const dryRun of [false, true])
      for (const [user, status] of refused) {
        const answer = await rig.call('POST', `actions/${action}`, { user, body: { ...body, dryRun } });
        expect([action, user, answer.status]).toEqual([action, user, status]);
      }
  expect((await rig.read('images', '?repository=team/app', 'writer')).images).toMatchObject([{ tag: '1' }]);
});

describe('a page of another origin', () => {
  const foreign: readonly [string, Readonly<Record<string, string | undefined>>][] = [
    ['another host', { Origin: 'http://evil.example' }],
    ['another port of this host', { Origin: 'http://127.0.0.1:1' }],
    ['an opaque origin', { Origin: 'null' }],
    ['no origin', { Origin: undefined }],
    ['this host as a user name', { Origin: 'http://127.0.0.1@evil.example' }],
    ['this origin, fetched by another site', { 'Sec-Fetch-Site': 'cross-site' }],
    ['this origin, fetched by a sibling', { 'Sec-Fetch-Site': 'same-site' }],
  ];

  test('changes nothing with the cookie of a logged-in browser', async () => {
    const rig = await startApiRig();
    await rig.pull('library/open', openImage);
    const Cookie = await logIn(rig, 'admin');
    const body = { images: [name] };
    for (const [what, headers] of foreign)
      for (const [method, path] of [
        ['POST', 'actions/pin'],
        ['DELETE', 'session'],
        ['POST', 'session'],
      ] as const) {
        const answer = await rig.call(method, path, { body, headers: { Cookie, ...headers } });
        expect([what, method, path, answer.status]).toEqual([what, method, path, 403]);
        expect(answer.headers.get('set-cookie')).toBeUndefined();
      }
    const own = await rig.call('POST', 'actions/pin', { body, headers: { Cookie } });
    expect(own.status).toBe(202); // the session was not ended
  });

  test('no answer lets a script of another origin read it, and a form can send no JSON', async () => {
    const rig = await startApiRig();
    const Cookie = await logIn(rig, 'admin');
    const answer = await rig.call('GET', 'session', { headers: { Cookie, Origin: 'http://evil.example' } });
    const cors = [...answer.headers.keys()].filter(header => header.startsWith('access-control-'));
    expect([answer.status, cors]).toEqual([200, []]);
    const form = { Cookie, 'Content-Type': 'application/x-www-form-urlencoded' };
    expect((await rig.call('POST', 'actions/gc', { body: '{}', headers: form })).status).toBe(400);
  });
});

describe('a session', () => {
  test('begins with a cookie for this host alone, which no script reads, and ends with DELETE', async () => {
    const rig = await startApiRig();
    const answer = await rig.call('POST', 'session', { body: { name: 'admin', password: "admin's" } });
    expect(answer.status).toBe(200);
    const set = answer.headers.get('set-cookie') ?? '';
    expect(set).toMatch(
      /^cistern_session=[\w-]{43}; Path=\/api\/v1\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    expect(sessionAnswer.parse(JSON.parse(answer.body.toString()))).toMatchObject({
      user: 'admin',
      administers: 'all',
      actions: expect.arrayContaining(['pin', 'evict', 'delete', 'gc']),
    });
    const Cookie = set.split(';', 1)[0] ?? '';
    expect(await userOf(rig, Cookie)).toBe('admin');
    const ended = await rig.call('DELETE', 'session', { headers: { Cookie } });
    expect([ended.status, ended.headers.get('set-cookie')]).toEqual([
      204,
      expect.stringContaining('Max-Age=0'),
    ]);
    expect(await userOf(rig, Cookie)).toBeNull();
  });

  test('ends after twelve hours, and with another password', async () => {
    const clock = { ms: Date.now() };
    const htpasswd = join(await tempDir(), 'htpasswd');
    await writeFile(htpasswd, `alice:${await hash("alice's", 4)}\n`);
    const mirror = await startTestMirror({ now: () => clock.ms, config: { access: { htpasswd } } });
    const ask = async (cookie: string) => {
      const { body } = await get(mirror.url, '/api/v1/session', { headers: { Cookie: cookie } });
      return JSON.parse(body.toString()).user;
    };
    const begin = async (password: string) => {
      const body = JSON.stringify({ name: 'alice', password });
      const headers = {
        Origin: mirror.url,
        'Content-Type': 'application/json',
        'Content-Length': `${body.length}`,
      };
      const answer = await request(mirror.url, { method: 'POST', path: '/api/v1/session', headers, body })
        .done;
      return answer.headers.get('set-cookie')?.split(';', 1)[0] ?? '';
    };
    const first = await begin("alice's");
    clock.ms += 12 * 3_600_000 - 1000;
    expect(await ask(first)).toBe('alice');
    clock.ms += 2000;
    expect(await ask(first)).toBeNull();
    const second = await begin("alice's");
    await writeFile(htpasswd, `alice:${await hash('another', 4)}\n`);
    await expect.poll(() => ask(second), { timeout: 5000 }).toBeNull();
  });

  test('wrong passwords are counted with those of other logins, and say when to try again', async () => {
    const rig = await startApiRig();
    const wrong = () => rig.call('POST', 'session', { body: { name: 'admin', password: 'wrong' } });
    const answers = [];
    for (let at = 0; at < 12 && answers.at(-1)?.body.toString().includes('too many') !== true; at += 1)
      answers.push(await wrong());
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]));
    expect(answers.at(-1)?.body.toString()).toMatch(/too many failed logins .* try again in \d+ s/);
    const headers = { Authorization: basic('admin', 'also wrong') };
    const elsewhere = await get(rig.mirror.url, '/v2/', { headers });
    expect(elsewhere.body.toString()).toContain('too many failed logins');
  });

  test('a token of the registry is no login here', async () => {
    const rig = await startApiRig();
    const { body } = await get(rig.mirror.url, '/token', { headers: { Authorization: basic('admin') } });
    const { token } = JSON.parse(body.toString());
    const headers = { Authorization: `Bearer ${token}` };
    expect((await rig.call('GET', 'stats', { headers })).status).toBe(401);
    const Cookie = `cistern_session=${token}`;
    expect((await rig.call('GET', 'stats', { headers: { Cookie } })).status).toBe(401);
  });
});

test('with login: off every caller is anonymous, whatever cookie or password comes', async () => {
  const rig = await startApiRig({
    config: { http: { listen: ['127.0.0.1:0', { address: '127.0.0.1:0', login: 'off' }] } },
  });
  const Cookie = await logIn(rig, 'admin');
  const [, off = ''] = rig.mirror.urls;
  for (const headers of [{ Cookie }, { Authorization: basic('admin') }]) {
    const session = await get(off, '/api/v1/session', { headers });
    expect(JSON.parse(session.body.toString())).toMatchObject({ user: null, canLogIn: false });
    expect((await get(off, '/api/v1/stats', { headers })).status).toBe(403);
  }
});

test('without users all may read figures, and nothing can be changed', async () => {
  const mirror = await startTestMirror({ config: { hosted: { repositories: ['team/**'] } } });
  expect((await get(mirror.url, '/api/v1/stats')).status).toBe(200);
  const headers = { Origin: mirror.url, 'Content-Type': 'application/json' };
  for (const [path, body] of [
    ['actions/gc', '{}'],
    ['session', '{"name":"a","password":"b"}'],
  ] as const) {
    const options = {
      method: 'POST',
      path: `/api/v1/${path}`,
      headers: { ...headers, 'Content-Length': `${body.length}` },
    };
    const answer = await request(mirror.url, { ...options, body }).done;
    expect([path, answer.status]).toEqual([path, 403]);
  }
});

async function logIn(rig: ApiRig, user: User): Promise<string> {
  const answer = await rig.call('POST', 'session', { body: { name: user, password: `${user}'s` } });
  return answer.headers.get('set-cookie')?.split(';', 1)[0] ?? '';
}

async function userOf(rig: ApiRig, cookie: string): Promise<string | null> {
  const { body } = await rig.call('GET', 'session', { headers: { Cookie: cookie } });
  return sessionAnswer.parse(JSON.parse(body.toString())).user;
}
