/** How requests reach the sources: at most eight questions that read are answered at once, and what does not fit is refused before. */
import Koa from 'koa';
import { expect, onTestFinished, test } from 'vitest';
import { Access } from '../../../../src/auth/access.ts';
import { Rules } from '../../../../src/auth/rules.ts';
import { Sessions } from '../../../../src/auth/sessions.ts';
import { answerPageApi } from '../../../../src/http/api/page-api.ts';
import type { ApiSources } from '../../../../src/http/api/sources.ts';
import { answerErrors } from '../../../../src/http/errors.ts';
import { type AppState, Exchange } from '../../../../src/http/exchange.ts';
import { Listener } from '../../../../src/http/server/listener.ts';
import { TokenRealm } from '../../../../src/http/token-realm.ts';
import { get, request } from '../../../support/client.ts';
import { deferred } from '../../../support/gates.ts';
import { Recorder } from '../../../support/recorder.ts';

async function serve(page: ApiSources['repositories']['page']): Promise<string> {
  const { logger } = new Recorder();
  const access = new Access({ users: undefined, rules: new Rules(undefined) });
  const unused = () => Promise.reject(new Error('expected no such question'));
  const sources: ApiSources = {
    repositories: { page },
    images: { page: unused },
    offline: { page: unused, summary: unused },
    image: { of: unused },
    cold: { first: unused },
    live: { transfers: unused, listen: () => () => {} },
    usage: { history: unused, report: unused },
    actions: { names: [], administers: unused, begin: unused, job: () => undefined, listen: () => () => {} },
    stats: unused,
    setup: () => ({ upstreams: [], defaultUpstream: null, hosted: [], hasAuthority: false }),
  };
  const app = new Koa<AppState>();
  app.use((context, next) => {
    context.state.exchange = new Exchange(context.res);
    return next();
  });
  app.use(answerErrors(logger));
  const realm = new TokenRealm({ trustedProxies: [] });
  app.use(answerPageApi({ access, sessions: new Sessions({ access, now: Date.now }), sources, realm }));
  const addresses = [{ host: '127.0.0.1', port: 0 }];
  const listener = await Listener.open({ addresses, handle: app.callback(), logger });
  onTestFinished(() => listener.close({ drainMs: 0 }));
  return listener.urls[0] ?? '';
}

test('eight questions are answered at once, the others wait in line', async () => {
  const gate = deferred();
  let [running, most] = [0, 0];
  const url = await serve(async () => {
    running += 1;
    most = Math.max(most, running);
    await gate.promise;
    running -= 1;
    return { rows: [] };
  });
  const asked = Array.from({ length: 30 }, () => get(url, '/api/v1/repositories'));
  await expect.poll(() => running).toBe(8);
  expect((await get(url, '/api/v1/session')).status).toBe(200); // what reads nothing waits for nothing
  gate.resolve();
  expect((await Promise.all(asked)).every(({ status }) => status === 200)).toBe(true);
  expect(most).toBe(8);
});

test.each([
  ['repositories?n=0', 400],
  ['repositories?n=201', 400],
  ['repositories?n=x', 400],
  [`repositories?q=${'x'.repeat(513)}`, 400],
  ['image', 400],
  ['image?name=', 400],
  ['history?days=401', 400],
  ['cold?n=1001', 400],
  ['jobs/../stats', 404],
  ['jobs/a%2Fb', 404],
  ['nothing', 404],
])('what does not fit is refused before any source is asked: case %#', async (path, status) => {
  const url = await serve(() => Promise.reject(new Error('expected no question')));
  const answer = await request(url, { path: `/api/v1/${path}` }).done;
  expect([answer.status, JSON.parse(answer.body.toString()).errors[0].code]).toEqual([status, 'UNSUPPORTED']);
});

test('a method that a path does not have is 405, with those that it has', async () => {
  const url = await serve(() => Promise.reject(new Error('expected no question')));
  for (const [method, path, allowed] of [
    ['PUT', 'session', 'GET, HEAD, POST, DELETE'],
    ['DELETE', 'stats', 'GET, HEAD'],
    ['GET', 'actions/pin', 'POST'],
  ] as const) {
    const answer = await request(url, { method, path: `/api/v1/${path}` }).done;
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, allowed]);
  }
});
