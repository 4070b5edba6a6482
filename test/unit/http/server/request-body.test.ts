/** Bodies of requests: read within limits, invited only by a reader, or refused unread with the answer delivered. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, type MockInstance, onTestFinished, vi } from 'vitest';
import { Listener } from '../../../../src/http/server/listener.ts';
import {
  answerUnread,
  hasUnreadBody,
  readBody,
  readWholeBody,
} from '../../../../src/http/server/request-body.ts';
import { createLogger } from '../../../../src/log.ts';
import { RegistryError } from '../../../../src/oci/error.ts';
import { deferred, Gate } from '../../../support/gates.ts';
import { serveApp } from '../../../support/served-app.ts';

const logger = createLogger({ level: 'silent', format: 'json', write: () => {} });
const max = { bytes: 1000, error: () => new RegistryError('MANIFEST_INVALID', { status: 413 }) };
const limits = { max, idleMs: 60_000 };

type Handle = (request: IncomingMessage, response: ServerResponse) => Promise<string>;

/** Answers with the text of `handle`, or with the status of its error as `errors.ts` does. */
async function serve(handle: Handle): Promise<string> {
  const listener = await Listener.open({
    addresses: [{ host: '127.0.0.1', port: 0 }],
    handle: (request, response) => {
      handle(request, response).then(
        text => response.end(text),
        error => {
          response.statusCode = error instanceof RegistryError ? error.status : 500;
          const body = Buffer.from(String(error.message));
          if (hasUnreadBody(request)) answerUnread(request, response, body);
          else response.end(body);
        },
      );
    },
    logger,
  });
  onTestFinished(() => listener.close({ drainMs: 0 }));
  return listener.urls[0] ?? '';
}

/** A connection, and all that came on it. */
class Wire {
  readonly ended: Promise<'fin' | 'reset'>;
  readonly #socket: Socket;
  text = '';

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    onTestFinished(() => void this.#socket.destroy());
    this.ended = new Promise(resolve => {
      this.#socket.once('end', () => resolve('fin')).once('error', () => resolve('reset'));
    });
    this.#socket.on('data', bytes => {
      this.text += bytes.toString('latin1');
    });
  }

  send(text: string): void {
    this.#socket.write(text);
  }

  close(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  async until(pattern: RegExp): Promise<void> {
    await expect.poll(() => this.text, { timeout: 5000, interval: 2 }).toMatch(pattern);
  }
}

function head(method: string, path: string, ...fields: readonly string[]): string {
  return [`${method} ${path} HTTP/1.1`, 'Host: x', ...fields, '', ''].join('\r\n');
}

const whole: Handle = async (request, response) => {
  const bytes = await readWholeBody(request, response, limits);
  return `got ${bytes.length}`;
};

describe('a body that is read', () => {
  it.each([
    ['with a length', `${head('PUT', '/', 'Content-Length: 5')}hello`, 5],
    ['in chunks', `${head('PUT', '/', 'Transfer-Encoding: chunked')}3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`, 5],
    ['that is empty', head('PUT', '/', 'Content-Length: 0'), 0],
    ['that was never announced', head('PUT', '/'), 0],
    ['as long as it may be', head('PUT', '/', 'Content-Length: 1000') + 'x'.repeat(1000), 1000],
  ])('%s comes whole, and the connection stays usable', async (_what, text, bytes) => {
    const wire = new Wire(await serve(whole));
    wire.send(text);
    await wire.until(new RegExp(`^HTTP/1.1 200 OK.*got ${bytes}$`, 's'));
    wire.text = '';
    wire.send(`${head('PUT', '/', 'Content-Length: 2')}ab`);
    await wire.until(/^HTTP\/1.1 200 OK.*got 2$/s);
  });

  it('comes as fast as it is taken, however slow its reader is', async () => {
    const gate = new Gate();
    const url = await serve(async (request, response) => {
      let bytes = 0;
      for await (const chunk of readBody(request, response, { idleMs: 50 })) {
        if (bytes === 0) await gate.pass();
        bytes += chunk.length;
      }
      return `got ${bytes}`;
    });
    const wire = new Wire(url);
    wire.send(head('PUT', '/', 'Content-Length: 300000') + 'x'.repeat(300_000));
    await gate.reached;
    await new Promise(resolve => setTimeout(resolve, 120)); // the client isn't the one who is slow
    gate.release();
    await wire.until(/got 300000$/);
  });

  it('waits in the socket while its reader is busy, and its chunks come as they were received', async () => {
    const gate = new Gate();
    const sizes: number[] = [];
    let bytesRead = 0;
    const url = await serve(async (request, response) => {
      for await (const chunk of readBody(request, response, { idleMs: 60_000 })) {
        if (sizes.length === 0) await gate.pass();
        if (sizes.length === 0) bytesRead = request.socket.bytesRead;
        sizes.push(chunk.length);
      }
      return `got ${sizes.reduce((sum, size) => sum + size, 0)}`;
    });
    const wire = new Wire(url);
    wire.send(head('PUT', '/', 'Content-Length: 16000000') + 'x'.repeat(16_000_000));
    await gate.reached;
    await new Promise(resolve => setTimeout(resolve, 100)); // more comes, if it is taken
    gate.release();
    await wire.until(/got 16000000$/);
    expect(bytesRead).toBeLessThan(1_000_000);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(65_536);
  });

  it('of 16 MB does not stop its connection for each chunk', async () => {
    let stops: MockInstance | undefined;
    const url = await serve(async (request, response) => {
      stops = vi.spyOn(Reflect.get(request.socket, '_handle'), 'readStop');
      let bytes = 0;
      for await (const chunk of readBody(request, response, { idleMs: 60_000 })) bytes += chunk.length;
      return `got ${bytes}`;
    });
    const wire = new Wire(url);
    wire.send(head('PUT', '/', 'Content-Length: 16000000') + 'x'.repeat(16_000_000));
    await wire.until(/got 16000000$/);
    expect(stops?.mock.calls.length).toBeLessThanOrEqual(16); // and of 250 chunks
  });

  it('is invited when the client waits for 100 Continue, once', async () => {
    const wire = new Wire(await serve(whole));
    wire.send(head('PUT', '/', 'Content-Length: 5', 'Expect: 100-Continue'));
    await wire.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/);
    wire.send('hello');
    await wire.until(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK.*got 5$/s);
  });

  it('is not invited before it is asked for', async () => {
    const gate = new Gate();
    const url = await serve(async (request, response) => {
      await gate.pass();
      return whole(request, response);
    });
    const wire = new Wire(url);
    wire.send(head('PUT', '/', 'Content-Length: 5', 'Expect: 100-continue'));
    await gate.reached;
    expect(wire.text).toBe('');
    gate.release();
    await wire.until(/100 Continue/);
  });

  it('of an announced length above the limit is refused unread and uninvited', async () => {
    const wire = new Wire(await serve(whole));
    wire.send(head('PUT', '/', 'Content-Length: 1001', 'Expect: 100-continue'));
    await wire.until(/^HTTP\/1.1 413 .*Connection: close/s);
    wire.close();
    expect(await wire.ended).toBe('fin');
  });

  it('in chunks above the limit is refused when it gets there', async () => {
    const wire = new Wire(await serve(whole));
    const chunk = `1f4\r\n${'x'.repeat(500)}\r\n`;
    wire.send(head('PUT', '/', 'Transfer-Encoding: chunked') + chunk + chunk);
    wire.send('1\r\nx\r\n');
    await wire.until(/^HTTP\/1.1 413 /);
  });

  it('of a client that falls silent is given up with 408, and the connection is closed', async () => {
    const url = await serve(async (request, response) => {
      const bytes = await readWholeBody(request, response, { idleMs: 30 });
      return `got ${bytes.length}`;
    });
    const wire = new Wire(url);
    wire.send(`${head('PUT', '/', 'Content-Length: 10')}hello`);
    await wire.until(/^HTTP\/1.1 408 .*Connection: close/s);
    wire.close();
    expect(await wire.ended).toBe('fin');
  });

  it('of a client that sends slowly is read for as long as something comes', async () => {
    const url = await serve(async (request, response) => {
      const bytes = await readWholeBody(request, response, { idleMs: 500 });
      return `got ${bytes.length}`;
    });
    const wire = new Wire(url);
    wire.send(head('PUT', '/', 'Content-Length: 8'));
    for (let count = 0; count < 8; count += 1) {
      await new Promise(resolve => setTimeout(resolve, 80));
      wire.send('x');
    }
    await wire.until(/got 8$/);
  });

  it('of a client that leaves ends with an error, after what came', async () => {
    const [came, failed] = [deferred<number>(), deferred<unknown>()];
    const url = await serve(async (request, response) => {
      try {
        for await (const chunk of readBody(request, response, limits)) came.resolve(chunk.length);
      } catch (error) {
        failed.resolve(error);
      }
      return '';
    });
    const wire = new Wire(url);
    wire.send(`${head('PUT', '/', 'Content-Length: 10')}hello`);
    expect(await came.promise).toBe(5);
    wire.reset();
    expect(await failed.promise).toMatchObject({ message: 'the connection ended within the request body' });
  });

  it('that its reader leaves in the middle does not cost the answer', async () => {
    const url = await serve(async (request, response) => {
      for await (const _chunk of readBody(request, response, { idleMs: 60_000 })) break;
      throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    });
    const wire = new Wire(url);
    wire.send(head('PATCH', '/', 'Content-Length: 1000000') + 'x'.repeat(200_000));
    await wire.until(/^HTTP\/1.1 404 /);
    wire.send('x'.repeat(200_000));
    wire.close();
    expect(await wire.ended).toBe('fin');
  });
});

describe('a body that no route wants', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const writes: readonly [method: string, path: string, allow: string][] = [
    ['PUT', '/v2/team/app/manifests/1', 'GET, HEAD'],
    ['POST', '/v2/team/app/blobs/uploads/', ''],
    ['POST', '/v2/team/app/blobs/uploads/?digest=DIGEST', ''],
    ['POST', '/v2/team/app/blobs/uploads/?digest=nonsense', ''],
    ['PATCH', '/v2/team/app/blobs/uploads/abc', ''],
    ['PUT', '/v2/team/app/blobs/uploads/abc?digest=DIGEST', ''],
  ];
  const refused = (allow: string) =>
    new RegExp(`^HTTP/1.1 405 .*Allow: ${allow}\r\n.*Connection: close\r\n.*"UNSUPPORTED".*\\]}$`, 's');

  it.each(writes)(
    '%s %s waiting for 100 Continue is refused at once, uninvited',
    async (method, path, allow) => {
      const { url } = await serveApp();
      const wire = new Wire(url);
      wire.send(
        head(method, path.replace('DIGEST', digest), 'Content-Length: 100000000', 'Expect: 100-continue'),
      );
      await wire.until(refused(allow));
      wire.close();
      expect(await wire.ended).toBe('fin');
      expect(wire.text).not.toContain('100 Continue');
    },
  );

  it.each(writes)('%s %s is refused before its large body has come', async (method, path, allow) => {
    const { url } = await serveApp();
    const wire = new Wire(url);
    wire.send(
      head(method, path.replace('DIGEST', digest), 'Content-Length: 100000000') + 'x'.repeat(100_000),
    );
    await wire.until(refused(allow));
    wire.send('x'.repeat(1_000_000)); // thrown away: a reset would take the answer with it
    wire.close();
    expect(await wire.ended).toBe('fin');
  });

  it.each(writes)('%s %s is refused at once when its body is slow', async (method, path, allow) => {
    const { url } = await serveApp();
    const wire = new Wire(url);
    wire.send(`${head(method, path.replace('DIGEST', digest), 'Transfer-Encoding: chunked')}1\r\nx\r\n`);
    await wire.until(refused(allow));
  });

  it.each(['POST', 'PUT', 'PATCH', 'DELETE'])(
    '%s without a body is refused, and the connection stays usable',
    async method => {
      const { url } = await serveApp();
      const wire = new Wire(url);
      wire.send(head(method, '/v2/team/app/blobs/uploads/abc', 'Content-Length: 0'));
      await wire.until(/^HTTP\/1.1 405 .*"UNSUPPORTED".*\]}$/s);
      wire.text = '';
      wire.send(head('GET', '/v2/'));
      await wire.until(/^HTTP\/1.1 200 OK.*{}$/s);
    },
  );

  it('is refused once: a client that sends it all the same gets one answer and a closed connection', async () => {
    const { url } = await serveApp();
    const wire = new Wire(url);
    wire.send(head('PUT', '/v2/team/app/manifests/1', 'Content-Length: 5', 'Expect: 100-continue'));
    await wire.until(/"UNSUPPORTED"/);
    wire.send(`hello${head('GET', '/v2/')}`);
    expect(await wire.ended).toBe('fin');
    expect(wire.text.match(/HTTP\/1.1/g)).toHaveLength(1);
  });

  it('costs nothing to other requests while its connection is closed', async () => {
    const { url, ended, ends } = await serveApp();
    const wires = Array.from({ length: 20 }, () => new Wire(url));
    for (const wire of wires) wire.send(`${head('PUT', '/v2/a/manifests/1', 'Content-Length: 9')}x`);
    for (const wire of wires) await wire.until(/ 405 /);
    for (const wire of wires) wire.close();
    await ended(20);
    expect(ends.every(({ status, kind }) => status === 405 && kind === 'manifest')).toBe(true);
  });

  it('with another expectation than 100-continue is refused by Node with 417', async () => {
    const { url } = await serveApp();
    const wire = new Wire(url);
    wire.send(head('PUT', '/v2/a/manifests/1', 'Content-Length: 9', 'Expect: miracles'));
    await wire.until(/^HTTP\/1.1 417 /);
  });
});
