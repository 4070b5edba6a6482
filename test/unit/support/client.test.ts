import { createHash } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { get, head, request, requestMany } from '../../support/client.ts';
import { deferred } from '../../support/gates.ts';
import { unusedPort } from '../../support/ports.ts';

/** A server of plain bytes: what it got goes to `serve` once the head is there. */
async function startServer(serve: (socket: Socket, received: string) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    let received = '';
    socket.on('data', bytes => {
      received += bytes.toString('latin1');
      if (received.includes('\r\n\r\n')) serve(socket, received);
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const hello = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello';
const helloInChunks =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: t\r\n\r\n';

describe('the end of a body', () => {
  test('by its length is complete, with status, fields, bytes and hash', async () => {
    const origin = await startServer(socket => socket.end(hello));
    const result = await get(origin, '/');
    expect(result).toMatchObject({
      status: 200,
      bytes: 5,
      sha256: sha256('hello'),
      end: 'complete',
      surplusBytes: 0,
    });
    expect(result.body.toString()).toBe('hello');
    expect(result.headers.get('x-a')).toBe('1, 2');
  });

  test.each([
    ['a length', hello],
    ['chunks', helloInChunks],
  ])('is found by %s when the bytes come one by one', async (_by, response) => {
    const origin = await startServer(async socket => {
      socket.setNoDelay(true);
      for (const character of response) await new Promise(resolve => socket.write(character, resolve));
      socket.end();
    });
    expect(await get(origin, '/')).toMatchObject({
      bytes: 5,
      sha256: sha256('hello'),
      end: 'complete',
      surplusBytes: 0,
    });
  });

  test('of neither length nor chunks is the end of the connection', async () => {
    const origin = await startServer(socket => socket.end('HTTP/1.1 200 OK\r\n\r\nhello'));
    expect(await get(origin, '/')).toMatchObject({ bytes: 5, end: 'complete' });
  });

  test.each([
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello'],
    ['chunks', helloInChunks.slice(0, helloInChunks.indexOf('0\r\nT'))],
  ])('is seen as early when FIN comes before what %s promised', async (_by, response) => {
    const origin = await startServer(socket => socket.end(response));
    expect(await get(origin, '/')).toMatchObject({ bytes: 5, end: 'fin-early' });
  });

  test('is seen as a reset when RST comes', async () => {
    const origin = await startServer(socket => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello');
      reading.promise.then(() => socket.resetAndDestroy());
    });
    const reading = deferred();
    const call = request(origin);
    await call.atLeast(5);
    reading.resolve();
    expect(await call.done).toMatchObject({ bytes: 5, end: 'reset' });
  });

  test('bytes beyond it are counted apart', async () => {
    const origin = await startServer(socket => socket.end(`${hello}more`));
    expect(await get(origin, '/')).toMatchObject({ bytes: 5, end: 'complete', surplusBytes: 4 });
  });

  test('does not wait for a server that keeps the connection', async () => {
    const origin = await startServer(socket => socket.write(hello));
    expect(await get(origin, '/')).toMatchObject({ bytes: 5, end: 'complete' });
  });
});

test('an answer to HEAD and a 304 have no body whatever their length says', async () => {
  const origin = await startServer((socket, received) => {
    socket.end(`HTTP/1.1 ${received.startsWith('HEAD') ? 200 : 304} X\r\nContent-Length: 9\r\n\r\n`);
  });
  expect(await head(origin, '/')).toMatchObject({ status: 200, bytes: 0, end: 'complete' });
  expect(await get(origin, '/')).toMatchObject({ status: 304, bytes: 0, end: 'complete' });
});

test('an end before the status line is an answer with status 0 and a rejected head', async () => {
  const origin = await startServer(socket => socket.end());
  const call = request(origin);
  expect(await call.done).toMatchObject({ status: 0, end: 'fin-early' });
  await expect(call.head).rejects.toThrow('expected a response');
  await expect(call.firstByte).rejects.toThrow('expected at least 1');
});

test('no connection and no HTTP are errors', async () => {
  await expect(get(`http://127.0.0.1:${await unusedPort()}`, '/')).rejects.toThrow('ECONNREFUSED');
  const origin = await startServer(socket => socket.end('SSH-2.0\r\n\r\n'));
  await expect(get(origin, '/')).rejects.toThrow('expected an HTTP/1.1 status line');
});

describe('what is sent', () => {
  const echo = () =>
    startServer((socket, received) =>
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${received.length}\r\n\r\n${received}`),
    );

  test('is the target as given, not normalised, with Host and Connection', async () => {
    const origin = await echo();
    const { body } = await get(origin, '/v2/../%2e%2F/x?ns=a b');
    expect(body.toString()).toBe(
      `GET /v2/../%2e%2F/x?ns=a b HTTP/1.1\r\nHost: ${origin.slice(7)}\r\nConnection: close\r\n\r\n`,
    );
  });

  test('may be an absolute-form target, repeated fields, and no Host at all', async () => {
    const headers = { host: undefined, Accept: ['a', 'b'], Connection: 'close' };
    const { body } = await get(await echo(), 'http://elsewhere/x', { headers });
    expect(body.toString()).toBe(
      'GET http://elsewhere/x HTTP/1.1\r\nAccept: a\r\nAccept: b\r\nConnection: close\r\n\r\n',
    );
  });

  test('may be raw', async () => {
    const { body } = await request(await echo(), { raw: 'NONSENSE\r\n\r\n' }).done;
    expect(body.toString()).toBe('NONSENSE\r\n\r\n');
  });
});

test('a paused client reads nothing before it is told to', async () => {
  const stuck = deferred();
  const origin = await startServer(socket => {
    const size = 64 * 1024 * 1024;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
    socket.end(Buffer.alloc(size));
    stuck.resolve();
  });
  const call = request(origin, { paused: true, keep: false });
  await stuck.promise;
  await get(origin, '/', { keep: false }); // time enough for a client that does read
  expect(call.bytes).toBe(0);
  call.resume();
  expect(await call.done).toMatchObject({ bytes: 64 * 1024 * 1024, end: 'complete' });
});

test('a client that leaves is seen by the server', async () => {
  const left = deferred<Error | undefined>();
  const origin = await startServer(socket => {
    socket.once('error', left.resolve);
    socket.write(hello.replace('5', '9'));
  });
  const call = request(origin);
  await call.firstByte;
  call.abort();
  expect(await left.promise).toMatchObject({ code: 'ECONNRESET' });
  expect(await call.done).toMatchObject({ bytes: 5, end: 'reset' });
});

test('many clients keep nothing but hash it all', async () => {
  const origin = await startServer(socket => socket.end(hello));
  const results = await Promise.all(requestMany(20, origin).map(call => call.done));
  expect(results).toHaveLength(20);
  for (const { body, sha256: hash } of results) expect([body.length, hash]).toEqual([0, sha256('hello')]);
});
