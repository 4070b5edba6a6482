/** The images of a containerd, read from its gRPC API: all namespaces, without names that no registry has, and what can go wrong. */
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { listContainerdImages } from '../../../../src/cli/warm/containerd-images.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const { signal } = new AbortController();

/** A Protobuf field with a text or a message. */
function field(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length: number[] = [];
  for (let rest = bytes.length; ; rest = Math.floor(rest / 128)) {
    length.push((rest % 128) | (rest >= 128 ? 128 : 0));
    if (rest < 128) break;
  }
  return Buffer.concat([Buffer.from([8 * number + 2, ...length]), bytes]);
}

function list(names: readonly string[]): Buffer {
  const varint = Buffer.from([8 * 9, 0xff, 0x01]); // a field that isn't known
  return Buffer.concat(
    names.map(name => field(1, Buffer.concat([varint, field(1, name), field(3, 'more')]))),
  );
}

async function serve(
  answer: (stream: ServerHttp2Stream, path: string, namespace: string) => void,
): Promise<string> {
  const socket = join(await tempDir(), 'c.sock');
  const server: Http2Server = createServer();
  server.on('stream', (stream, headers) =>
    answer(stream, String(headers[':path']), String(headers['containerd-namespace'])),
  );
  await new Promise<void>(resolve => server.listen(socket, resolve));
  onTestFinished(() => void server.close());
  return socket;
}

function send(stream: ServerHttp2Stream, message: Buffer, status = '0', text = ''): void {
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status, 'grpc-message': text }));
  stream.end(message.length === 0 ? undefined : Buffer.concat([frame, message]));
}

test('names of all namespaces, each once, without ids and imports', async () => {
  const asked: string[] = [];
  const long = `registry.lan:5000/${'a/'.repeat(100)}app:v1`;
  const socket = await serve((stream, path, namespace) => {
    asked.push(`${path} ${namespace}`);
    if (path.endsWith('Namespaces/List')) return send(stream, list(['default', 'k8s.io', 'empty']));
    const names = [
      'docker.io/library/alpine:3.20',
      `sha256:${'0'.repeat(64)}`,
      'import-2026',
      'localhost/own:1',
    ];
    if (namespace === 'default') return send(stream, list(names));
    return send(stream, namespace === 'empty' ? Buffer.alloc(0) : list([names[0] ?? '', long]));
  });
  const { images } = await listContainerdImages(socket, signal);
  expect(images).toEqual(['docker.io/library/alpine:3.20', long]);
  expect(asked).toEqual([
    '/containerd.services.namespaces.v1.Namespaces/List undefined',
    '/containerd.services.images.v1.Images/List default',
    '/containerd.services.images.v1.Images/List k8s.io',
    '/containerd.services.images.v1.Images/List empty',
  ]);
});

test('what it says is told: an error, no Protobuf, no gRPC, no socket', async () => {
  const refusing = await serve(stream => send(stream, Buffer.alloc(0), '7', 'not%20for%20you'));
  await expect(listContainerdImages(refusing, signal)).rejects.toThrow(/containerd at .*: not for you$/);
  const odd = await serve(stream => send(stream, Buffer.from([8 + 7])));
  await expect(listContainerdImages(odd, signal)).rejects.toThrow('it sent no Protobuf message');
  const plain = await serve(stream => {
    stream.respond({ ':status': 404 });
    stream.end('no');
  });
  await expect(listContainerdImages(plain, signal)).rejects.toThrow('it speaks no gRPC');
  await expect(listContainerdImages('/nowhere/c.sock', signal)).rejects.toThrow(
    'connect ENOENT /nowhere/c.sock',
  );
});
