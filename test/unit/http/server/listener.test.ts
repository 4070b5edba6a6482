import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Listener } from '../../../../src/http/server/listener.ts';
import { createLogger } from '../../../../src/log.ts';
import { get, request } from '../../../support/client.ts';
import { deferred, Gate } from '../../../support/gates.ts';
import { sendAfterAnswer } from '../../../support/lingering-client.ts';
import { type ServedApp, serveApp } from '../../../support/served-app.ts';

const logger = createLogger({ level: 'silent', format: 'json', write: () => {} });
const bytes = Buffer.alloc(1000, 'x');

/** A blob whose second half waits for the gate. */
async function served(): Promise<ServedApp & { path: string; gate: Gate }> {
  const app = await serveApp();
  const gate = new Gate();
  app.hub.preferredBytes = 500;
  app.hub.beforeRead = at => (at >= 500 ? gate.pass() : undefined);
  return Object.assign(app, { path: `/v2/a/b/blobs/${app.hub.addBlob(bytes)}`, gate });
}

function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket)).once('error', reject);
  });
}

/** What still happens happens at once: no timer of this process fires before the test has finished. */
function stopTimers(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval'] });
  const timeout = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => new AbortController().signal);
  onTestFinished(() => {
    timeout.mockRestore();
    vi.useRealTimers();
  });
}

describe('draining', () => {
  it('lets a running answer finish; meanwhile ops routes alone are answered, so that readyz shows it', async () => {
    const { url, path, gate, listener } = await served();
    const socket = await open(url); // a client that would keep its connection
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    let text = '';
    socket.on('data', some => {
      text += some.toString();
    });
    const ended = new Promise(resolve => socket.once('end', resolve));
    await gate.reached;
    const closed = listener.close({ drainMs: 60_000 });
    for (let count = 0; count < 3; count += 1) await get(url, '/healthz'); // the turns of what was on its way
    const asked = ['/healthz', '/readyz', '/v2/a/b/manifests/1', path, '/v2/', '/'];
    const answers = await Promise.all(asked.map(target => get(url, target)));
    expect(answers.map(({ status, headers }) => [status, headers.get('connection')])).toEqual(
      [200, 200, 503, 404, 503, 503].map(status => [status, 'close']),
    );
    gate.release();
    await Promise.all([closed, ended]);
    await expect(get(url, '/healthz')).rejects.toThrow('ECONNREFUSED');
    expect(text.split('\r\n\r\n')[1]).toHaveLength(1000);
  });

  it('still hears a request that is on its way', async () => {
    const { url, listener } = await served();
    const socket = await open(url);
    await new Promise(resolve => socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n', resolve));
    await listener.close({ drainMs: 60_000 });
    const first = await new Promise(resolve => socket.once('data', resolve).once('close', resolve));
    expect(String(first)).toMatch(/^HTTP\/1.1 200 OK/);
  });

  it('closes an idle connection at once', async () => {
    const { url, listener } = await served();
    const socket = await open(url);
    const ended = deferred();
    socket.on('data', () => {}).once('close', () => ended.resolve());
    socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise(resolve => socket.once('data', resolve));
    stopTimers();
    await expect(listener.close({ drainMs: 60_000 })).resolves.toBeUndefined();
    await ended.promise;
  });

  it('tells a client that pipelined to close', async () => {
    const { url, path, gate, listener, ended, ends } = await served();
    const raw = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const call = request(url, { raw });
    await gate.reached;
    const closed = listener.close({ drainMs: 60_000 });
    gate.release();
    expect((await call.done).end).toBe('complete');
    await closed;
    await ended(1);
    expect(ends[0]).toMatchObject({ status: 200, bytes: 1000 });
  });

  it('cuts what is left when the time is up: unfinished, with FIN, and the signal aborts', async () => {
    const { url, path, gate, listener, hub } = await served();
    const call = request(url, { path });
    await gate.reached;
    await listener.close({ drainMs: 10 });
    const answer = await call.done;
    expect([answer.end, answer.bytes]).toEqual(['fin-early', 500]);
    await hub.readers[0]?.closed;
    expect(hub.asked[0]?.options.signal.aborted).toBe(true);
  });

  it('is over at once without connections, and may be asked for twice', async () => {
    const { listener } = await served();
    stopTimers();
    const closings = [listener.close({ drainMs: 60_000 }), listener.close({ drainMs: 60_000 })];
    expect(await Promise.all(closings)).toEqual([undefined, undefined]);
  });

  it('does not cut an answer that is written but not yet taken by the client', async () => {
    const body = Buffer.alloc(24 * 1024 * 1024, 'y');
    const written = deferred();
    const listener = await Listener.open({
      addresses: [{ host: '127.0.0.1', port: 0 }],
      handle: (_, response) => {
        response.end(body);
        written.resolve();
      },
      logger,
    });
    const call = request(listener.urls[0] ?? '', {
      paused: true,
      keep: false,
      headers: { Connection: 'keep-alive' },
    });
    await written.promise;
    const closed = listener.close({ drainMs: 60_000 });
    call.resume();
    const answer = await call.done;
    expect([answer.end, answer.bytes]).toEqual(['complete', body.length]);
    await closed;
  });
});

describe('listening', () => {
  it('serves every address of the list, with real ports in the urls', async () => {
    const listener = await Listener.open({
      addresses: [
        { host: '127.0.0.1', port: 0 },
        { host: '127.0.0.1', port: 0 },
      ],
      handle: (_, response) => response.end('here'),
      logger,
    });
    onTestFinished(() => listener.close({ drainMs: 0 }));
    expect(new Set(listener.urls).size).toBe(2);
    for (const url of listener.urls) {
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
      expect((await get(url, '/')).body.toString()).toBe('here');
    }
  });

  it('takes none when one address is taken, and says which', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise(resolve => other.once('listening', resolve));
    onTestFinished(() => void other.close());
    const address = other.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const opening = Listener.open({
      addresses: [
        { host: '127.0.0.1', port: 0 },
        { host: '127.0.0.1', port },
      ],
      handle: () => {},
      logger,
    });
    await expect(opening).rejects.toThrow(`EADDRINUSE: address already in use 127.0.0.1:${port}`);
  });
});

describe('what the parser refuses', () => {
  it.each([
    ['a request line that is too long', `GET /v2/${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['headers that are too long', `GET /v2/ HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`],
    ['a request line without an end', `GET /v2/${'a'.repeat(2_000_000)}`],
  ])('%s is 431 in JSON', async (_, raw) => {
    const { url, refused } = await serveApp();
    const answer = await request(url, { raw }).done;
    expect([answer.status, answer.end]).toEqual([431, 'complete']);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    expect(JSON.parse(answer.body.toString()).errors[0].code).toBe('UNSUPPORTED');
    expect(refused).toEqual([431]);
  });

  it.each([
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['a broken header', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n'],
    [
      'two framings at once',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
  ])('%s is 400 in JSON', async (_, raw) => {
    const { url } = await serveApp();
    const answer = await request(url, { raw }).done;
    expect([answer.status, answer.end]).toEqual([400, 'complete']);
    expect(JSON.parse(answer.body.toString()).errors[0].code).toBe('UNSUPPORTED');
  });

  it('is answered with a FIN, not a reset, although the client goes on sending', async () => {
    const { url, refused } = await serveApp();
    const start = `GET /v2/${'a'.repeat(20_000)}`;
    const { ending, text } = await sendAfterAnswer(url, start, 'a'.repeat(100_000), () =>
      get(url, '/healthz'),
    );
    expect(ending).toBe('fin');
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
    expect(refused).toEqual([431]);
  });

  it('a TLS hello gets a bare 400, at once', async () => {
    const { url } = await serveApp({ headersTimeoutMs: 3_600_000 });
    stopTimers();
    const hello = Buffer.from('16030100c8010000c403037a7a7a7a', 'hex');
    const answer = await request(url, { raw: Buffer.concat([hello, Buffer.alloc(200, 1)]) }).done;
    expect([answer.status, answer.bytes]).toEqual([400, 0]);
  });

  it('headers that never come are given up with 408', async () => {
    const { url, refused } = await serveApp({ headersTimeoutMs: 1, checkIntervalMs: 5 });
    const answer = await request(url, { raw: 'GET /v2/ HTTP/1.1\r\nHost: x\r\n' }).done;
    expect([answer.status, refused]).toEqual([408, [408]]);
  });

  it('does no harm to others', async () => {
    const { url, lines } = await serveApp();
    const broken = request(url, { raw: 'GET /v2/ HT' });
    broken.abort();
    expect((await get(url, '/v2/')).status).toBe(200);
    expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  });

  it('behind a good request does not spoil the answer under way', async () => {
    const { url, hub } = await serveApp();
    const digest = hub.addBlob(Buffer.alloc(1000));
    const raw = `GET /v2/a/b/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\nhello there\r\n\r\n`;
    const answer = await request(url, { raw }).done;
    expect(answer.body.includes('HTTP/1.1 400')).toBe(false);
    expect(answer.surplusBytes).toBe(0);
  });
});
