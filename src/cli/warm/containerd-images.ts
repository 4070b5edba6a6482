/**
 * The images of a running containerd, in all its namespaces: two questions of its gRPC API, over HTTP/2 on its socket. The few fields that
 * are needed are read from the Protobuf messages here, so that no gRPC library is needed.
 */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { CommandError } from '../command-line.ts';
import type { ImageList } from './image-list.ts';

const defaultSocket = '/run/containerd/containerd.sock';
const maxBytes = 64 * 1024 * 1024;
const frameHeaderBytes = 5;

/** `socket` undefined: containerd's own. Names that no registry has (of the CRI: `sha256:…`) are left out. Errors: `CommandError`. */
export async function listContainerdImages(
  socket: string | undefined,
  signal: AbortSignal,
): Promise<ImageList> {
  const path = socket ?? defaultSocket;
  const session = connectHttp2('http://containerd', { createConnection: () => connect(path) });
  const broken = new Promise<never>((_resolve, reject) => session.on('error', reject));
  broken.catch(() => undefined); // without a question that waits, too
  try {
    const ask = (method: string, namespace?: string) =>
      Promise.race([call(session, method, namespace, signal), broken]);
    const images = new Set<string>();
    for (const namespace of namesIn(await ask('namespaces.v1.Namespaces/List')))
      for (const name of namesIn(await ask('images.v1.Images/List', namespace)))
        if (isFromRegistry(name)) images.add(name);
    return { images: [...images].sort(), notes: [] };
  } catch (error) {
    signal.throwIfAborted();
    throw new CommandError(`cannot list the images of containerd at ${path}: ${innermost(error)}`);
  } finally {
    session.destroy();
  }
}

/** A session that breaks hides why. */
function innermost(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? innermost(error.cause) : error.message;
}

/** `HOST/REPOSITORY…`: the CRI also names images by their ids, and `ctr import` by the time. */
function isFromRegistry(name: string): boolean {
  const [first = '', ...rest] = name.split('/');
  return rest.length > 0 && /[.:]/.test(first) && first !== 'localhost';
}

/** One call without arguments. Resolves with the message of the answer. Errors: what containerd or the socket says. */
function call(
  session: ClientHttp2Session,
  method: string,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      {
        ':method': 'POST',
        ':path': `/containerd.services.${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...(namespace !== undefined && { 'containerd-namespace': namespace }),
      },
      { signal },
    );
    const chunks: Buffer[] = [];
    let [bytes, status] = [0, ''];
    const note = (headers: Readonly<Record<string, unknown>>) => {
      const { 'grpc-status': code, 'grpc-message': message = '' } = headers;
      if (code !== undefined)
        status = code === '0' ? 'ok' : decodeURIComponent(String(message)) || `status ${code}`;
    };
    stream.on('response', note); // an error comes without trailers
    stream.on('trailers', note);
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > maxBytes) stream.destroy(new Error('the list is larger than 64 MiB'));
    });
    stream.on('error', reject);
    stream.on('end', () => {
      if (status === 'ok') resolve(messageOf(Buffer.concat(chunks)));
      else reject(new Error(status === '' ? 'it speaks no gRPC' : status));
    });
    stream.end(Buffer.alloc(frameHeaderBytes)); // an empty message
  });
}

/** Of the one frame of the answer. */
function messageOf(body: Buffer): Buffer {
  if (body.length < frameHeaderBytes) return Buffer.alloc(0);
  return body.subarray(frameHeaderBytes, frameHeaderBytes + body.readUInt32BE(1));
}

/** Field 1 (the name) of each message in field 1: that is how both lists look. */
function namesIn(message: Buffer): readonly string[] {
  return fieldsOf(message, 1).flatMap(item => {
    const [name] = fieldsOf(item, 1);
    return name === undefined ? [] : [name.toString('utf8')];
  });
}

/** The values of a field with texts or messages. Errors: RangeError for what is no Protobuf message. */
function fieldsOf(message: Buffer, wanted: number): readonly Buffer[] {
  const values: Buffer[] = [];
  let at = 0;
  const varint = (): number => {
    for (let [value, factor] = [0, 1]; ; factor *= 128) {
      const byte = message.readUInt8(at);
      at += 1;
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const type = key % 8;
    if (type === 0) varint();
    else if (type === 1) at += 8;
    else if (type === 5) at += 4;
    else if (type === 2) {
      const length = varint();
      if ((key - type) / 8 === wanted) values.push(message.subarray(at, at + length));
      at += length;
    } else throw new RangeError('it sent no Protobuf message');
  }
  return values;
}
