/** Which host `/setup/docker.sh` names: `public_url`, or a Host that can't be anything but one. */
import Koa from 'koa';
import { expect, onTestFinished, test } from 'vitest';
import { answerErrors } from '../../../../src/http/errors.ts';
import { type AppState, Exchange } from '../../../../src/http/exchange.ts';
import { Listener } from '../../../../src/http/server/listener.ts';
import { TokenRealm } from '../../../../src/http/token-realm.ts';
import { answerSetupScript } from '../../../../src/http/ui/setup-script.ts';
import { get, request } from '../../../support/client.ts';
import { Recorder } from '../../../support/recorder.ts';

async function serve(publicUrl?: string): Promise<string> {
  const { logger } = new Recorder();
  const app = new Koa<AppState>();
  app.use((context, next) => {
    context.state.exchange = new Exchange(context.res);
    return next();
  });
  app.use(answerErrors(logger));
  const realm = new TokenRealm({ publicUrl, trustedProxies: [] });
  app.use(answerSetupScript({ realm, publicUrl, mirrorsHub: true }));
  const addresses = [{ host: '127.0.0.1', port: 0 }];
  const listener = await Listener.open({ addresses, handle: app.callback(), logger });
  onTestFinished(() => listener.close({ drainMs: 0 }));
  return listener.urls[0] ?? '';
}

async function mirrorOf(url: string, Host?: string): Promise<string | number> {
  const { status, body } = await get(url, '/setup/docker.sh', {
    headers: { ...(Host !== undefined && { Host }) },
  });
  const [, mirror] = /^ {2}mirror='(.*)'$/m.exec(body.toString()) ?? [];
  return mirror ?? status;
}

test('the Host of the request, with and without a port', async () => {
  const url = await serve();
  expect(await mirrorOf(url)).toBe(url);
  expect(await mirrorOf(url, 'mirror.lan')).toBe('http://mirror.lan');
  expect(await mirrorOf(url, '[fd00::1]:5000')).toBe('http://[fd00::1]:5000');
});

test.each([
  "a';reboot;'",
  'a b',
  'a$(reboot)',
  'a`reboot`',
  'a"b',
  'a\\b',
  'a_b',
  'ä.lan',
  'a/b',
  'user@host',
  'host:99999',
  '',
])('a Host of %j is refused', async host => {
  expect(await mirrorOf(await serve(), host)).toBe(400);
});

test('public_url goes before whatever the request says', async () => {
  expect(await mirrorOf(await serve('https://mirror.lan'), "a'b")).toBe('https://mirror.lan');
});

test('it is a script for reading, and nothing is posted to it', async () => {
  const url = await serve();
  const { headers } = await get(url, '/setup/docker.sh');
  expect([
    headers.get('content-type'),
    headers.get('x-content-type-options'),
    headers.get('cache-control'),
  ]).toEqual(['text/x-shellscript; charset=utf-8', 'nosniff', 'no-store']);
  expect((await request(url, { method: 'POST', path: '/setup/docker.sh' }).done).status).toBe(405);
});
