/**
 * Serves the other nodes of the fleet what this node holds or is downloading, by digest. A request without the fleet's
 * signature does not even learn whether content exists. No request here ever reaches an upstream.
 */
import { RegistryError } from '../oci/error.ts';
import { fitMediaType } from '../oci/media-type.ts';
import { formatContentRange, parseRange, resolveRange } from '../oci/range.ts';
import { type PeerContent, type PeerGate, type PeerRequest, parsePeerTarget } from '../registry/peer.ts';
import type { AppContext } from './exchange.ts';
import type { BlobSender } from './v2/send-blob.ts';

export interface PeerService {
  readonly gate: PeerGate;
  readonly content: PeerContent;
}

type PeerAnswers = PeerService & { readonly sender: BlobSender };

/** Milliseconds. The asking node needs the size at once and waits for the bytes. */
const headPatienceMs = 1;

/** Answers a request whose target `isPeerTarget`. */
export async function answerPeer(context: AppContext, { gate, content, sender }: PeerAnswers): Promise<void> {
  const { method = '', url: target = '', headers } = context.req;
  const asker = gate.authenticate({ method, target, range: headers.range }, headers.authorization);
  if (asker === undefined) return refuse(context);
  const question = method === 'GET' ? parsePeerTarget(target) : undefined;
  if (question === undefined) throw notHere(undefined);
  context.set('Cache-Control', 'no-store');
  if (question.kind === 'manifest') return answerManifest(context, question, content);
  if (!question.heldOnly && gate.isFollowing(asker, question.digest)) throw notHere(question);
  await answerBlob(context, question, { gate, content, sender });
}

async function answerManifest(
  context: AppContext,
  question: PeerRequest,
  content: PeerContent,
): Promise<void> {
  const found = await content.manifest(question);
  if (found === undefined) throw notHere(question);
  context.status = 200;
  context.set('Content-Type', fitMediaType(found.descriptor.mediaType));
  context.body = found.bytes;
}

async function answerBlob(
  context: AppContext,
  question: PeerRequest,
  { gate, content, sender }: PeerAnswers,
): Promise<void> {
  const { exchange } = context.state;
  const [range] = parseRange(context.req.headers.range) ?? [];
  const partFrom = range !== undefined && 'last' in range ? range.first : undefined;
  const found = await content.blob(question, partFrom, exchange.signal);
  if (found === undefined) throw notHere(question);
  const { size, reader } = found;
  const span = range === undefined ? { start: 0, end: size } : resolveRange(range, size);
  if (span === undefined) {
    await reader.close();
    throw new RegistryError('RANGE_INVALID', { detail: { size } });
  }
  context.respond = false; // the sender writes the body and closes the reader
  await sender.send(context.res, {
    reader,
    ...span,
    signal: exchange.signal,
    headPatienceMs,
    setHead: () => {
      context.status = range === undefined ? 200 : 206;
      if (range !== undefined) context.set('Content-Range', formatContentRange(span, size));
      context.set('Content-Type', 'application/octet-stream');
      context.set('Content-Length', String(span.end - span.start));
    },
    onSent: bytes => {
      exchange.sent(bytes);
      gate.served(bytes);
    },
  });
}

/** A plain 401: `errors.ts` would hide it, because a registry's clients must not see one, but a node must. */
function refuse(context: AppContext): void {
  const error = new RegistryError('UNAUTHORIZED');
  context.state.exchange.fail(error.code, 'the request has no valid signature of this fleet');
  context.status = 401;
  context.set('WWW-Authenticate', 'Cistern-Fleet');
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  context.body = JSON.stringify(error);
}

function notHere(question: PeerRequest | undefined): RegistryError {
  return new RegistryError(question?.kind === 'manifest' ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN');
}
