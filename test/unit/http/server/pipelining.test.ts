/** One client that sends thousands of requests ahead: the others go on, and its connection is read only as it is answered. */
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { Listener } from '../../../../src/http/server/listener.ts';
import { createLogger } from '../../../../src/log.ts';
import { get } from '../../../support/client.ts';
import { serveApp } from '../../../support/served-app.ts';

const logger = createLogger({ level: 'silent', format: 'json', write: () => {} });
const one = 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n';

function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket)).once('error', reject);
    onTestFinished(() => void socket.destroy());
  });
}

/** Resolves with the number of answers, when there are so many or the connection has closed. */
function countAnswers(socket: Socket, until: number): Promise<number> {
  return new Promise(resolve => {
    let count = 0;
    let rest = '';
    socket.on('data', bytes => {
      const parts = (rest + bytes.toString('latin1')).split('HTTP/1.1 200 OK');
      count += parts.length - 1;
      rest = parts.at(-1)?.slice(-14) ?? ''; // the beginning of the next one may be in it
      if (count >= until) resolve(count);
    });
    socket.on('close', () => resolve(count));
  });
}

test('2000 requests sent ahead are handled in 2000 turns of the event loop, and all answered', async () => {
  let turns = 0;
  let on = true;
  onTestFinished(() => {
    on = false;
  });
  const handledIn: number[] = [];
  const listener = await Listener.open({
    addresses: [{ host: '127.0.0.1', port: 0 }],
    handle: (_, response) => {
      handledIn.push(turns);
      response.end();
    },
    logger,
  });
  onTestFinished(() => listener.close({ drainMs: 0 }));
  const socket = await open(listener.urls[0] ?? '');
  const counting = (async () => {
    for (; on; turns += 1) await turn();
  })();
  const answers = countAnswers(socket, 2000);
  socket.write(one.repeat(2000));
  expect(await answers).toBe(2000);
  on = false;
  await counting;
  const perTurn = new Map<number, number>();
  for (const at of handledIn) perTurn.set(at, (perTurn.get(at) ?? 0) + 1);
  expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(2);
});

test('with more than 16 unanswered a connection is read no further, until they are answered', async () => {
  const waiting: ServerResponse[] = [];
  let isOpen = false;
  let bytesRead = () => 0;
  const listener = await Listener.open({
    addresses: [{ host: '127.0.0.1', port: 0 }],
    handle: (request, response) => {
      bytesRead = () => request.socket.bytesRead;
      if (isOpen || request.url === '/others') response.end();
      else waiting.push(response);
    },
    logger,
  });
  onTestFinished(() => listener.close({ drainMs: 0 }));
  const url = listener.urls[0] ?? '';
  const socket = await open(url);
  const count = 20_000;
  const answers = countAnswers(socket, count);
  socket.write(one.repeat(count));
  await expect.poll(() => waiting.length).toBe(1);
  const readBy = bytesRead;
  for (let asked = 0; asked < 20; asked += 1) await get(url, '/others');
  expect(waiting.length).toBe(1);
  expect(readBy()).toBeLessThan(256 * 1024); // some chunks of 640 kB
  isOpen = true;
  waiting[0]?.end();
  expect(await answers).toBe(count);
});

test('connections above the limit are closed at once, the others go on, and one line says so', async () => {
  const { url, lines } = await serveApp({ maxConnections: 2 });
  const held = [await open(url), await open(url)];
  await expect.poll(async () => (await get(url, '/healthz').catch(() => ({ status: 0 }))).status).toBe(0);
  const [first] = held;
  first?.write(one);
  await new Promise(resolve => first?.once('data', resolve));
  expect(lines.filter(({ msg }) => msg === 'too many connections, closing new ones')).toHaveLength(1);
  held[1]?.destroy();
  await expect.poll(async () => (await get(url, '/healthz').catch(() => ({ status: 0 }))).status).toBe(200);
});
