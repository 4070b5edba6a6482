/**
 * Uploads of blobs (OCI distribution-spec end-4a, 4b, 5, 6, 11, 13, 14). A body is read only when the session is there to take it, so a
 * client that waits for `100 Continue` sends nothing in vain. URLs in answers are paths, right whatever proxy stands in front.
 */
import { type Digest, type DigestAlgorithm, digestOf, isDigest, parseDigest } from '../../oci/digest.ts';
import { buildEndpoint, type Endpoint } from '../../oci/endpoint.ts';
import { excerpt, RegistryError } from '../../oci/error.ts';
import { parseChunkRange } from '../../oci/range.ts';
import { canonicalNameOf, type Located } from '../../registry/directory.ts';
import type { BlobStored, Mounted, StartUpload, UploadSession } from '../../registry/writer.ts';
import { tell } from '../events.ts';
import type { PushRequest } from '../exchange.ts';
import { readBody } from '../server/request-body.ts';
import { answerEmpty, digestHeader } from './headers.ts';

/** How long a client may send nothing within a body; the session stays. */
const idleMs = 60_000;

/** Undefined: the directory knows no such repository. */
export type FindSource = (name: string) => Located | undefined;

export type UploadEndpoint = Extract<Endpoint, { readonly kind: `upload-${string}` }>;

export async function answerUpload(
  push: PushRequest,
  endpoint: UploadEndpoint,
  findSource: FindSource,
): Promise<void> {
  if (endpoint.kind === 'upload-start') return answerStart(push, findSource);
  const { writer, repository, options } = push;
  const session = await writer.upload(repository, endpoint.session, options);
  setSession(push, session); // an error names the session too, and how far it is
  switch (endpoint.kind) {
    case 'upload-status':
      return answerAccepted(push, session, 204);
    case 'upload-chunk':
      await append(push, session, chunkOf(push, session));
      return answerAccepted(push, session, 202);
    case 'upload-commit':
      return answerCommit(push, session);
    case 'upload-cancel':
      await session.cancel();
      dropSession(push);
      answerEmpty(push.context, 204);
  }
}

/** POST: a session, a mount, or with `?digest=` and a body the whole upload. */
async function answerStart(push: PushRequest, findSource: FindSource): Promise<void> {
  const { writer, repository, options, query } = push;
  const start = startOf(push, findSource);
  const started = await writer.startUpload(repository, start, options);
  if (started.kind === 'mounted') {
    const from = start.mount?.from && canonicalNameOf(start.mount.from);
    const { digest, size } = started;
    tell(push, { type: 'blob-pushed', digest, size, how: 'mount', ...(from !== undefined && { from }) });
    return answerCreated(push, started);
  }
  const digest = start.digest;
  if (digest === undefined || query.has('mount') || !carriesAll(push, digest))
    return answerAccepted(push, started, 202);
  setSession(push, started); // for an error: the client may go on from what came
  await append(push, started, undefined);
  answerUploaded(push, await started.commit(digest, options));
}

/** PUT: the last chunk, if there is one, and the digest. */
async function answerCommit(push: PushRequest, session: UploadSession): Promise<void> {
  const given = push.query.get('digest');
  if (given === null) {
    throw new RegistryError('DIGEST_INVALID', { message: 'the digest of the upload is missing (?digest=)' });
  }
  const digest = parseDigest(given);
  if (hasBody(push)) await append(push, session, chunkOf(push, session), digest);
  answerUploaded(push, await session.commit(digest, push.options));
}

interface Chunk {
  readonly at: number | undefined;
  readonly bytes: number | undefined;
}

async function append(
  push: PushRequest,
  session: UploadSession,
  chunk: Chunk | undefined,
  digest?: Digest,
): Promise<void> {
  const { context, options } = push;
  const { at, bytes = contentLengthOf(push) } = chunk ?? {};
  const reading = new AbortController(); // an upload that is taken over reads no further
  const body = readBody(context.req, context.res, { idleMs, signal: reading.signal });
  try {
    await session.append(at, body, {
      signal: options.signal,
      ...(bytes !== undefined && { bytes }),
      ...(digest && { digest }),
    });
  } finally {
    reading.abort(new Error('the upload reads no further'));
    setSession(push, session);
  }
}

/** Errors: RANGE_INVALID for what is no range of a chunk; SIZE_INVALID when it contradicts `Content-Length`. */
function chunkOf(push: PushRequest, { offset }: UploadSession): Chunk {
  const header = push.context.req.headers['content-range'];
  if (header === undefined) return { at: undefined, bytes: contentLengthOf(push) };
  const range = parseChunkRange(header);
  if (range === undefined) {
    const message = `expected Content-Range as START-END, got ${excerpt(header)}`;
    throw new RegistryError('RANGE_INVALID', { message, detail: { offset } });
  }
  const bytes = range.end - range.start;
  if ((contentLengthOf(push) ?? bytes) !== bytes) {
    const message = 'Content-Length and Content-Range name different lengths';
    throw new RegistryError('SIZE_INVALID', { message });
  }
  return { at: range.start, bytes };
}

/** Errors: DIGEST_INVALID. */
function startOf({ query }: PushRequest, findSource: FindSource): StartUpload {
  const mount = query.get('mount');
  if (mount !== null) {
    const from = query.get('from');
    const source = from === null || from === '' ? undefined : findSource(from);
    // What can't be mounted, whatever the reason, is an upload.
    if (!isDigest(mount) || (from && source === undefined)) return {};
    return { mount: { digest: mount, ...(source && { from: source }) } };
  }
  const digest = query.get('digest');
  const algorithm = query.get('digest-algorithm');
  return {
    ...(digest !== null && { digest: parseDigest(digest) }),
    ...(algorithm !== null && { algorithm: parseAlgorithm(algorithm) }),
  };
}

function parseAlgorithm(text: string): DigestAlgorithm {
  if (text === 'sha256' || text === 'sha512') return text;
  throw new RegistryError('DIGEST_INVALID', { message: `expected sha256 or sha512, got ${excerpt(text)}` });
}

/** The request brings the blob; without a body it only says what a session will bring, unless that is nothing. */
function carriesAll(push: PushRequest, digest: Digest): boolean {
  return (
    hasBody(push) || digest === digestOf(new Uint8Array()) || digest === digestOf(new Uint8Array(), 'sha512')
  );
}

function hasBody(push: PushRequest): boolean {
  return push.context.req.headers['transfer-encoding'] !== undefined || (contentLengthOf(push) ?? 0) > 0;
}

/** Undefined: the body is streamed, or there is none. */
function contentLengthOf({ context }: PushRequest): number | undefined {
  const { 'content-length': length, 'transfer-encoding': encoding } = context.req.headers;
  return length === undefined || encoding !== undefined ? undefined : Number(length);
}

const sessionHeaders = ['Location', 'Range', 'Docker-Upload-UUID'];

function setSession({ context, name, ns }: PushRequest, { id, offset }: UploadSession): void {
  context.set('Location', buildEndpoint({ kind: 'upload-status', name, session: id }, { ns }));
  context.set('Range', `0-${Math.max(0, offset - 1)}`); // of an empty session too: clients read a number after the hyphen
  context.set('Docker-Upload-UUID', id);
}

function answerAccepted(push: PushRequest, session: UploadSession, status: 202 | 204): void {
  setSession(push, session);
  answerEmpty(push.context, status);
}

function dropSession({ context }: PushRequest): void {
  for (const name of sessionHeaders) context.remove(name);
}

function answerUploaded(push: PushRequest, stored: BlobStored): void {
  const { digest, size } = stored;
  tell(push, { type: 'blob-pushed', digest, size, how: 'upload' });
  answerCreated(push, stored);
}

function answerCreated(push: PushRequest, { digest }: BlobStored | Mounted): void {
  const { context, name, ns } = push;
  dropSession(push);
  context.set('Location', buildEndpoint({ kind: 'blob', name, digest }, { ns }));
  context.set(digestHeader, digest);
  answerEmpty(context, 201);
}
