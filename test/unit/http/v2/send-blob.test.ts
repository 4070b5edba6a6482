import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BlobSender } from '../../../../src/http/v2/send-blob.ts';
import type { Digest } from '../../../../src/oci/digest.ts';
import type { BlobReader } from '../../../../src/registry/registry.ts';
import { get, request } from '../../../support/client.ts';
import { Gate } from '../../../support/gates.ts';
import { sendAfterAnswer } from '../../../support/lingering-client.ts';
import { type ServedApp, serveApp } from '../../../support/served-app.ts';

const mebibyte = 1024 * 1024;

function offsetOf(pieces: readonly Buffer[], index: number): number {
  return pieces.slice(0, index).reduce((sum, { length }) => sum + length, 0);
}

async function served(size: number): Promise<ServedApp & { digest: Digest; path: string; bytes: Buffer }> {
  const app = await serveApp();
  const bytes = Buffer.alloc(size, 'cistern');
  const digest = app.hub.addBlob(bytes);
  return Object.assign(app, { digest, bytes, path: `/v2/library/busybox/blobs/${digest}` });
}

describe('a body that can not be finished', () => {
  it.each([
    ['of known length', {}],
    ['chunked', { size: undefined, end: undefined }],
  ])('%s is cut with FIN: no reset, no end', async (_, blobAnswer) => {
    const { url, path, hub, bytes, lines, ended, ends } = await served(mebibyte);
    hub.preferredBytes = 64 * 1024;
    hub.blobAnswer = blobAnswer;
    hub.beforeRead = at => {
      if (at >= 512 * 1024) throw new Error('upstream went silent');
    };
    const answer = await get(url, path, { headers: { Connection: 'keep-alive' } });
    expect([answer.status, answer.end, answer.bytes]).toEqual([200, 'fin-early', 512 * 1024]);
    expect(answer.body.equals(bytes.subarray(0, 512 * 1024))).toBe(true);
    await hub.readers[0]?.closed;
    await ended(1);
    expect(ends[0]).toMatchObject({ status: 200, outcome: 'error', bytes: 512 * 1024 });
    expect(lines.find(({ msg }) => msg === 'the answer was cut')).toMatchObject({
      level: 'warn',
      upstream: 'docker.io',
      error: { message: 'upstream went silent' },
    });
    expect(lines.find(({ msg }) => msg === 'request')).toMatchObject({ code: 'UNKNOWN', ended: 'early' });
  });

  it('is cut when the reader ends before the announced length', async () => {
    const { url, path, hub } = await served(1000);
    hub.blobAnswer = { end: 2000, size: 2000 };
    const answer = await get(url, path);
    expect([answer.status, answer.end, answer.bytes]).toEqual([200, 'fin-early', 1000]);
  });

  it('is cut with FIN although the client has sent the next request', async () => {
    const { url, path, hub } = await served(1000);
    hub.preferredBytes = 500;
    hub.beforeRead = at => {
      if (at >= 500) throw new Error('broken');
    };
    const one = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const answer = await request(url, { raw: one + one }).done;
    expect([answer.end, answer.bytes, answer.surplusBytes]).toEqual(['fin-early', 500, 0]);
    expect(hub.readers).toHaveLength(1);
  });

  it('is cut with FIN although the client sends more afterwards', async () => {
    const { url, path, hub } = await served(1000);
    hub.preferredBytes = 500;
    hub.beforeRead = at => {
      if (at >= 500) throw new Error('broken');
    };
    const one = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const { ending, text } = await sendAfterAnswer(url, one, one, () => get(url, '/healthz'));
    expect(ending).toBe('fin');
    expect(text.split('\r\n\r\n')[1]).toHaveLength(500);
  });

  it('does not wait for ever for a client that keeps its side open', async () => {
    const { url, path, hub, ended, ends } = await served(1000);
    hub.preferredBytes = 500;
    hub.beforeRead = at => {
      if (at >= 500) throw new Error('broken');
    };
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    socket.resume();
    await ended(1);
    expect(socket.writable).toBe(true); // our side is still open
    expect(ends[0]).toMatchObject({ bytes: 500 });
    socket.destroy();
  });
});

describe('memory', () => {
  it('of one body is two buffers in turn', async () => {
    const { url, path, hub, bytes } = await served(4 * mebibyte + 17);
    hub.preferredBytes = 256 * 1024;
    const answer = await get(url, path);
    expect(answer.body.equals(bytes)).toBe(true);
    const reader = hub.readers[0];
    expect(reader?.reads).toBe(17);
    const sizes = Array.from(reader?.memory ?? [], memory => memory.byteLength);
    expect(sizes).toEqual([256 * 1024, 256 * 1024]);
  });

  it('of a held file serves the next body too', async () => {
    const { url, path, hub } = await served(2 * mebibyte);
    hub.preferredBytes = 512 * 1024;
    await get(url, path);
    await get(url, path);
    const [first, second] = hub.readers;
    expect(second?.memory.size).toBe(2);
    expect(second?.memory).toEqual(first?.memory);
  });

  it('of a body that was cut serves no other: the socket may hold it', async () => {
    const { url, path, hub, ended } = await served(2 * mebibyte);
    hub.preferredBytes = 512 * 1024;
    hub.beforeRead = at => {
      if (at >= mebibyte) throw new Error('broken');
    };
    await get(url, path);
    await ended(1);
    hub.beforeRead = () => undefined;
    await get(url, path);
    const [first, second] = hub.readers;
    for (const memory of second?.memory ?? []) expect(first?.memory.has(memory)).toBe(false);
  });

  it('of bytes that are in memory already is none: they are sent as they are', async () => {
    const pieces = [Buffer.alloc(1000, 'a'), Buffer.alloc(2000, 'b'), Buffer.alloc(500, 'c')];
    let arrived = 0;
    const reader: BlobReader = {
      preferredBytes: 64 * 1024,
      peek: at => pieces.slice(0, arrived).find((_, index) => offsetOf(pieces, index) === at),
      arrival: async () => {
        arrived += 1;
      },
      read: () => Promise.reject(new Error('no buffer is wanted')),
      close: async () => undefined,
    };
    const sent: number[] = [];
    const sender = new BlobSender();
    const server = createServer((_, response) => {
      void sender.send(response, {
        reader,
        start: 0,
        end: 3500,
        signal: new AbortController().signal,
        setHead: () => response.setHeader('Content-Length', 3500),
        headPatienceMs: undefined,
        onSent: bytes => sent.push(bytes),
      });
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const answer = await get(`http://127.0.0.1:${port}`, '/');
    expect(answer.body.equals(Buffer.concat(pieces))).toBe(true);
    expect(sent).toEqual([1000, 2000, 500]);
  });

  it('of each of many bodies is one buffer', async () => {
    const { url, path, hub, ended } = await served(4 * mebibyte);
    hub.preferredBytes = 256 * 1024;
    const gate = new Gate();
    hub.beforeRead = at => (at === 0 ? gate.pass() : undefined);
    const calls = [1, 2, 3].map(() => request(url, { path, paused: true }));
    while (hub.readers.length < 3) await get(url, '/healthz');
    gate.release();
    let before = -1;
    const sum = () => hub.readers.reduce((all, { at }) => all + at, 0);
    while (before !== sum() || before === 0) {
      before = sum();
      await get(url, '/healthz');
      await get(url, '/healthz');
    }
    expect(hub.readers.map(({ memory }) => memory.size)).toEqual([1, 1, 1]);
    for (const call of calls) call.abort();
    await ended(3);
  });

  it('of a small body is no more than the body', async () => {
    const { url, path, hub } = await served(100);
    await get(url, path);
    expect([...(hub.readers[0]?.memory ?? [])].map(memory => memory.byteLength)).toEqual([100]);
  });

  it('of a client that does not read is two buffers: no more is read ahead of the socket', async () => {
    const { url, path, hub, ended } = await served(64 * mebibyte);
    hub.preferredBytes = 256 * 1024;
    const call = request(url, { path, paused: true });
    await get(url, '/healthz'); // the server has had its turns
    let before = -1;
    while (before !== hub.readers[0]?.at) {
      before = hub.readers[0]?.at ?? 0;
      await get(url, '/healthz');
      await get(url, '/healthz');
    }
    // What the kernel's two socket buffers took and two buffers: nowhere near the blob.
    expect(hub.readers[0]?.at).toBeLessThan(32 * mebibyte);
    expect(hub.readers[0]?.memory.size).toBe(2);
    call.abort();
    await hub.readers[0]?.closed;
    await ended(1);
  });

  it('of pipelined requests is one buffer in all: one answer at a time', async () => {
    const { url, path, hub } = await served(1000);
    const gate = new Gate();
    hub.beforeRead = () => gate.pass();
    const one = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const call = request(url, { raw: one.repeat(16) }); // one more, and the connection isn't read
    await gate.reached;
    await get(url, '/healthz');
    expect(hub.readers).toHaveLength(1);
    call.abort();
    await hub.readers[0]?.closed;
    await get(url, '/healthz');
    expect(hub.asked).toHaveLength(1); // the others were dropped with their connection
  });
});

describe('pipelined requests', () => {
  it('are answered in order', async () => {
    const { url, path, ended, ends } = await served(1000);
    const raw = [path, '/healthz', path]
      .map(
        (target, index) =>
          `GET ${target} HTTP/1.1\r\nHost: x\r\n${index === 2 ? 'Connection: close\r\n' : ''}\r\n`,
      )
      .join('');
    const answer = await request(url, { raw }).done;
    expect(answer.bytes).toBe(1000);
    await ended(3);
    expect(ends.map(end => end.kind)).toEqual(['blob', 'other', 'blob']);
  });
});

describe('a client that leaves', () => {
  it.each(['fin', 'reset'] as const)(
    'by %s while a read waits: the signal aborts and the reader closes',
    async by => {
      const { url, path, hub, ended, ends, lines } = await served(1000);
      const gate = new Gate();
      hub.preferredBytes = 100;
      hub.beforeRead = at => (at >= 300 ? gate.pass() : undefined);
      const call = request(url, { path });
      await call.atLeast(300);
      await gate.reached;
      call.abort(by);
      await hub.readers[0]?.closed;
      await ended(1);
      expect(hub.asked[0]?.options.signal.aborted).toBe(true);
      expect(ends[0]).toMatchObject({ status: 200, bytes: 300, outcome: 'hit' });
      await get(url, '/healthz'); // everything that follows has happened
      expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
    },
  );

  it('before the answer: the signal aborts, nothing is logged as an error', async () => {
    const { url, path, hub, ended, ends, lines } = await served(1000);
    const arrived = new Gate();
    hub.before = ({ options }) =>
      new Promise((_, reject) => {
        options.signal.addEventListener('abort', () => reject(options.signal.reason));
        void arrived.pass();
      });
    const call = request(url, { path });
    await arrived.reached;
    call.abort();
    await ended(1);
    expect(ends[0]).toMatchObject({ status: 499, bytes: 0 });
    await get(url, '/healthz'); // everything that follows has happened
    expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  });

  it('does not abort the signal of an answer that was finished', async () => {
    const { url, path, hub, ended } = await served(1000);
    await get(url, path);
    await ended(1);
    expect(hub.asked[0]?.options.signal.aborted).toBe(false);
  });
});
