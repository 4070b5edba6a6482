/**
 * One blob into a registry: looked for first, then sent in chunks within one upload session (OCI distribution-spec "Pushing a blob in
 * chunks"). After a cut it asks the session how much has arrived and goes on from there; a session that is gone begins anew.
 * A proxy that refuses a chunk as too large gets smaller ones.
 */
import { type Timers, wait } from '../../lib/wait.ts';
import { buildEndpoint } from '../../oci/endpoint.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { Repository } from '../../oci/name.ts';
import { PushError, pauseAfter, refused } from './push-error.ts';
import type { PushAnswer, PushRequest, Send } from './push-transport.ts';

export interface BlobUploadOptions {
  readonly registry: URL;
  readonly repository: Repository;
  readonly send: Send;
  /** At most so many bytes in one request. */
  readonly chunkBytes: number;
  /** How often in a row it may fail without getting on. */
  readonly maxFailures: number;
  readonly timers: Timers;
  readonly signal: AbortSignal;
}

export interface BlobToPush {
  readonly blob: Descriptor;
  /** Its bytes from `at` on. */
  read(at: number): AsyncIterable<Buffer>;
  /** `offset` bytes are in the registry. It can go back, when a session is lost. */
  onProgress(offset: number): void;
  onTrouble(error: PushError): void;
}

/** Sent with the request that ends the upload: one trip less. */
const smallBytes = 1024 * 1024;
const smallestChunkBytes = 64 * 1024;
const octets = { 'content-type': 'application/octet-stream' };

export class BlobUpload {
  readonly #options: BlobUploadOptions;
  readonly #wanted: BlobToPush;
  #session: URL | undefined;
  #offset = 0;
  /** The session may have more, or less, than `#offset`. */
  #isUnsure = false;
  #chunkBytes: number;
  #failures = 0;
  #best = 0;
  #mismatches = 0;

  constructor(options: BlobUploadOptions, wanted: BlobToPush) {
    this.#options = options;
    this.#wanted = wanted;
    this.#chunkBytes = options.chunkBytes;
  }

  /** Errors: `PushError`; the signal's reason; those of `read`. */
  async run(): Promise<'pushed' | 'present'> {
    const { signal } = this.#options;
    for (let isFirst = true; ; isFirst = false) {
      try {
        if (this.#session === undefined && (await this.#findInRegistry()))
          return isFirst ? 'present' : 'pushed';
        await this.#goOn();
        return 'pushed';
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof PushError)) throw error;
        await this.#recover(error);
      }
    }
  }

  /** Whatever the registry says but 200 (some answer 403 for what they don't have) means: try to send it. */
  async #findInRegistry(): Promise<boolean> {
    const { digest, size } = this.#wanted.blob;
    const url = this.#url({ kind: 'blob', name: this.#options.repository, digest });
    const answer = await this.#ask({ method: 'HEAD', url, headers: {} });
    if (answer.status >= 500 || answer.status === 401 || answer.status === 429)
      throw this.#refusal('to look for a blob', answer);
    const isThere = answer.status === 200 || (answer.status >= 300 && answer.status < 400); // a redirect to its storage
    if (isThere) this.#advance(size);
    return isThere;
  }

  async #goOn(): Promise<void> {
    const { size } = this.#wanted.blob;
    if (this.#session !== undefined && this.#isUnsure) await this.#askHowFar(this.#session);
    const session = this.#session ?? (await this.#start());
    if (size <= Math.min(smallBytes, this.#chunkBytes) && this.#offset === 0) {
      await this.#commit(session, size);
      return;
    }
    let at = session;
    while (this.#offset < size) at = await this.#sendChunk(at);
    await this.#commit(at, 0);
  }

  async #start(): Promise<URL> {
    const url = this.#url({ kind: 'upload-start', name: this.#options.repository });
    const answer = await this.#ask({ method: 'POST', url, headers: { 'content-length': '0' } });
    if (answer.status !== 202) throw this.#refusal('an upload', answer);
    const least = Number(answer.headers['oci-chunk-min-length']);
    if (least > this.#chunkBytes) this.#chunkBytes = least;
    this.#moveTo(0);
    return this.#follow(answer, url);
  }

  async #sendChunk(session: URL): Promise<URL> {
    const { size } = this.#wanted.blob;
    const start = this.#offset;
    const end = Math.min(start + this.#chunkBytes, size);
    const headers = {
      ...octets,
      'content-length': String(end - start),
      'content-range': `${start}-${end - 1}`,
    };
    this.#isUnsure = true;
    const body = () => this.#counted(start, end);
    const answer = await this.#ask({ method: 'PATCH', url: session, headers, body });
    if (answer.status !== 202 && answer.status !== 204) throw this.#refusal('a part of the upload', answer);
    this.#moveTo(receivedOf(answer) ?? end);
    this.#advance(this.#offset);
    return this.#follow(answer, session);
  }

  /** `bytes`: of the blob, which go with it. */
  async #commit(session: URL, bytes: number): Promise<void> {
    const { digest } = this.#wanted.blob;
    const url = new URL(session);
    url.searchParams.set('digest', digest);
    this.#isUnsure = true;
    const headers = { ...octets, 'content-length': String(bytes) };
    const body = bytes === 0 ? {} : { body: () => this.#counted(0, bytes) };
    const answer = await this.#ask({ method: 'PUT', url, headers, ...body });
    if (answer.status !== 201 && answer.status !== 204) throw this.#refusal('the end of an upload', answer);
    this.#advance(this.#wanted.blob.size);
  }

  /** `0-0` says that nothing has come, or one byte: then it begins anew. */
  async #askHowFar(session: URL): Promise<void> {
    const answer = await this.#ask({ method: 'GET', url: session, headers: {} });
    if (answer.status >= 500 || answer.status === 429) throw this.#refusal('the state of an upload', answer);
    const received = answer.status < 300 ? receivedOf(answer) : undefined;
    if (received !== undefined && received > 1 && received <= this.#wanted.blob.size) {
      this.#moveTo(received);
      this.#follow(answer, session);
      return;
    }
    if (answer.status < 300) await this.#ask({ method: 'DELETE', url: session, headers: {} });
    this.#session = undefined;
    this.#moveTo(0);
  }

  /** Resolves when it is time for another try. Errors: `error`, when there is to be none. */
  async #recover(error: PushError): Promise<void> {
    const { maxFailures, timers, signal } = this.#options;
    const { status } = error;
    if (status === 413 && this.#chunkBytes <= smallestChunkBytes) throw tooLarge(error);
    // a proxy may also just cut what is too large for it, and some registries drop a body that isn't whole
    const isTooMuch = status === 413 || (status === undefined && this.#failures > 1);
    if (isTooMuch) this.#chunkBytes = Math.max(smallestChunkBytes, Math.floor(this.#chunkBytes / 2));
    const isSecondMismatch = error.code === 'DIGEST_INVALID' && this.#mismatches++ > 0; // the source has changed, or is damaged
    const isLost = this.#session !== undefined && (status === 400 || status === 404) && !isSecondMismatch;
    if (isLost) this.#session = undefined;
    if (!error.isPassing && !isLost && status !== 413 && status !== 416) throw error;
    if (status !== 413) this.#failures += 1;
    if (this.#failures > maxFailures) throw error;
    this.#wanted.onTrouble(error);
    if (status === 413 || isLost) return;
    await wait(timers, pauseAfter(error, this.#failures), signal);
  }

  async *#counted(start: number, end: number): AsyncGenerator<Buffer> {
    let left = end - start;
    for await (const chunk of this.#wanted.read(start)) {
      const part = chunk.length > left ? chunk.subarray(0, left) : chunk;
      left -= part.length;
      this.#wanted.onProgress(end - left - part.length);
      yield part;
      if (left === 0) return;
    }
    throw new PushError('the source has become shorter meanwhile', 'FAILED', { isPassing: false });
  }

  #ask(request: Omit<PushRequest, 'signal'>): Promise<PushAnswer> {
    return this.#options.send({ ...request, signal: this.#options.signal });
  }

  /** Where the upload goes on. A registry that doesn't know that a proxy speaks TLS for it names itself by http. */
  #follow(answer: PushAnswer, asked: URL): URL {
    const { location } = answer.headers;
    const text = typeof location === 'string' ? location : asked.href;
    if (!URL.canParse(text, asked.href)) throw new PushError('the registry names no place for the upload');
    const next = new URL(text, asked);
    const isDowngrade = next.hostname === asked.hostname && next.protocol !== asked.protocol;
    const session = isDowngrade ? new URL(next.pathname + next.search, asked.origin) : next;
    this.#session = session;
    this.#isUnsure = false;
    return session;
  }

  #moveTo(offset: number): void {
    this.#offset = offset;
    this.#wanted.onProgress(offset);
  }

  /** Further than ever: then failures before it don't count. */
  #advance(offset: number): void {
    if (offset > this.#best) this.#failures = 0;
    this.#best = Math.max(this.#best, offset);
    this.#wanted.onProgress(offset);
  }

  #refusal(what: string, answer: PushAnswer): PushError {
    return refused(this.#options.registry.host, what, answer);
  }

  #url(endpoint: Parameters<typeof buildEndpoint>[0]): URL {
    return new URL(buildEndpoint(endpoint), this.#options.registry);
  }
}

/** `Range: 0-N`: how many bytes the session has. Undefined: it doesn't say. */
function receivedOf({ headers: { range } }: PushAnswer): number | undefined {
  const [, last] = /^(?:bytes=)?0-(\d+)$/.exec(typeof range === 'string' ? range : '') ?? [];
  return last === undefined ? undefined : Number(last) + 1;
}

function tooLarge({ message }: PushError): PushError {
  return new PushError(
    `${message}: a proxy in between takes no request of ${smallestChunkBytes} bytes (nginx: client_max_body_size)`,
    'SIZE_INVALID',
    { isPassing: false },
  );
}
