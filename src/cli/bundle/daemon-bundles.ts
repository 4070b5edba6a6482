/** Export, import and digests of a running daemon, over its socket: long bodies are streams in both directions. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BundleAdmin, BundleReport } from '../../admin/bundle-admin.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { type ErrorCode, isErrorCode, RegistryError } from '../../oci/error.ts';
import type { BundleContent, ContentManifest, ContentReferrers } from '../../registry/bundle-content.ts';
import { CommandError } from '../command-line.ts';

/** A request line has 16 KiB, and a digest 80 bytes or 140. */
const digestsAtOnce = 100;

export class DaemonBundles implements BundleAdmin {
  readonly content: BundleContent;
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    this.content = {
      manifest: (image, signal) => this.#manifest(image, signal),
      referrers: (image, signal) =>
        this.#ask<ContentReferrers>(pathOf('content/referrers', { image }), signal),
      held: (digests, signal) => this.#held(digests, signal),
      fetch: (image, onBytes, signal) => this.#fetch(image, onBytes, signal),
      blob: (image, signal) => this.#read(pathOf('content/blob', { image }), signal),
    };
  }

  async *digests(signal: AbortSignal): AsyncGenerator<Digest, void, void> {
    let rest = '';
    for await (const chunk of this.#read(pathOf('digests', {}), signal)) {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (isDigest(line)) yield line;
    }
  }

  /** The daemon may answer before all is sent: what it says then is the result. */
  async importBundle(tar: AsyncIterable<Buffer>, signal: AbortSignal): Promise<BundleReport> {
    const stop = new AbortController();
    const asked = this.#open('POST', pathOf('import/bundle', {}), signal, 'application/x-tar');
    let failure: unknown;
    const sending = pipeline(Readable.from(tar), asked.request, { signal: stop.signal }).catch(
      (error: unknown) => {
        failure = error;
      },
    );
    try {
      const response = await asked.response;
      const body = await readWhole(response);
      if (response.statusCode === 200) return JSON.parse(body.toString());
      throw errorOf(body);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof RegistryError || error instanceof CommandError) throw error;
      throw failure ?? error;
    } finally {
      stop.abort();
      await sending;
    }
  }

  async #manifest(image: string, signal: AbortSignal): Promise<ContentManifest> {
    const path = pathOf('content/manifest', { image });
    const { bytes, ...found } = await this.#ask<Omit<ContentManifest, 'bytes'> & { bytes: string }>(
      path,
      signal,
    );
    return { ...found, bytes: Buffer.from(bytes, 'base64') };
  }

  async #held(digests: readonly Digest[], signal: AbortSignal): Promise<ReadonlyMap<Digest, number>> {
    const held = new Map<Digest, number>();
    for (let at = 0; at < digests.length; at += digestsAtOnce) {
      const asked = digests.slice(at, at + digestsAtOnce);
      const query = asked.map(digest => `digest=${digest}`).join('&');
      const sizes = await this.#ask<Record<string, number>>(`/api/v1/content/held?${query}`, signal);
      for (const [digest, size] of Object.entries(sizes)) if (isDigest(digest)) held.set(digest, size);
    }
    return held;
  }

  /** Each line says how many bytes have come. */
  async #fetch(image: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<number> {
    let [rest, bytes] = ['', 0];
    for await (const chunk of this.#read(pathOf('content/fetch', { image }), signal)) {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        onBytes(Number(line) - bytes);
        bytes = Number(line);
      }
    }
    return bytes;
  }

  async #ask<Report>(path: string, signal: AbortSignal): Promise<Report> {
    return JSON.parse((await readWhole(await this.#get(path, signal))).toString());
  }

  async *#read(path: string, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const response = await this.#get(path, signal);
    try {
      yield* response;
    } catch (error) {
      signal.throwIfAborted();
      throw new CommandError('the daemon cut its answer: its log says why', 'FAILED', error);
    }
  }

  /** Errors: what the daemon answers besides 200. */
  async #get(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const asked = this.#open('GET', path, signal);
    asked.request.end();
    const response = await asked.response;
    if (response.statusCode === 200) return response;
    throw errorOf(await readWhole(response));
  }

  #open(method: string, path: string, signal: AbortSignal, contentType?: string) {
    const options: RequestOptions = {
      socketPath: this.#socketPath,
      method,
      path,
      agent: false,
      signal,
      ...(contentType !== undefined && { headers: { 'Content-Type': contentType } }),
    };
    const asked = request(options);
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      asked.on('response', resolve);
      asked.on('error', reject);
    });
    response.catch(() => {}); // who waits for it has the error
    return { request: asked, response };
  }
}

function pathOf(name: string, query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(query).toString();
  return `/api/v1/${name}${text === '' ? '' : `?${text}`}`;
}

async function readWhole(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The daemon's own words, whatever their length. */
function errorOf(body: Buffer): Error {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString('utf8'));
  } catch {
    answer = undefined; // not the daemon's own error: said below
  }
  const [first]: unknown[] = [Reflect.get(Object(answer), 'errors') ?? []].flat();
  const code: unknown = Reflect.get(Object(first), 'code');
  const message = String(Reflect.get(Object(first), 'message'));
  if (isErrorCode(code)) return new RegistryError(code satisfies ErrorCode, { message });
  return new CommandError(
    'the process that has the store takes no commands now: it is starting or stopping, or it is a command itself',
  );
}
