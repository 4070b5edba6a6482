/**
 * GET and HEAD of a blob (OCI distribution-spec end-2): whole, one range, or several as `multipart/byteranges`. Ranges that
 * sum up to more than the whole get the whole with 200, as RFC 9110 14.2 advises.
 */
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import {
  type ByteRange,
  formatContentRange,
  joinSpans,
  parseRange,
  resolveRange,
  type Span,
} from '../../oci/range.ts';
import type { BlobAnswer } from '../../registry/registry.ts';
import type { AppContext, PullRequest } from '../exchange.ts';
import type { Accel } from './accel.ts';
import { isNotModified, isRangeCurrent, setContentNames, setFreshness } from './headers.ts';
import { MultipartReader } from './multipart.ts';

/**
 * For a range far ahead in a running download; a body from the start sends its head with its first byte. Milliseconds: well below
 * the 30 s that containerd waits for headers.
 */
const headPatienceMs = 5000;

export async function answerBlob(pull: PullRequest, digest: Digest, accel: Accel | undefined): Promise<void> {
  const { context, located, options, nowMs, sender } = pull;
  const { headers, method } = context.req;
  const { registry, repository } = located;
  const notModified = isNotModified(headers['if-none-match'], digest);
  if (method === 'HEAD' || notModified) {
    // The digest is in the URL, so a 304 needs no bytes, only the caller's right to this blob.
    const answer = await registry.stat(repository, digest, options);
    setFreshness(context, answer, nowMs);
    setContentNames(context, digest);
    context.status = notModified ? 304 : 200;
    if (!notModified) setBodyHead(context, answer.size);
    return;
  }
  const ranges = isRangeCurrent(headers['if-range']?.toString(), digest)
    ? parseRange(headers.range)
    : undefined;
  const spans =
    ranges !== undefined && ranges.length > 1 ? await resolveAll(pull, digest, ranges) : undefined;
  if (spans !== undefined && spans.list.length > 1) {
    await sendParts(pull, digest, spans.list, spans.size);
    return;
  }
  const [only] = spans?.list ?? [];
  const range = only === undefined ? ranges?.[0] : { first: only.start, last: only.end - 1 };
  const isWhole = spans !== undefined && only === undefined;
  const answer = await registry.blob(repository, digest, isWhole ? undefined : range, options);
  if (accel?.takes(context.req, answer) === true) {
    await accel.answer(context, digest, answer, nowMs);
    return;
  }
  context.respond = false; // the sender writes the body and closes the reader
  await sender.send(context.res, {
    ...answer,
    signal: options.signal,
    headPatienceMs: answer.outcome === 'hit' || answer.start === 0 ? undefined : headPatienceMs,
    setHead: () => {
      setSpan(context, answer);
      setFreshness(context, answer, nowMs);
      setContentNames(context, digest);
    },
    onSent: bytes => context.state.exchange.sent(bytes),
  });
}

interface Spans {
  /** The satisfiable ones, in the client's order; empty: the whole is shorter. */
  readonly list: readonly Span[];
  readonly size: number;
}

/** Undefined: the size is unknown. Errors: RANGE_INVALID when no range is satisfiable; those of `stat`. */
async function resolveAll(
  pull: PullRequest,
  digest: Digest,
  ranges: readonly ByteRange[],
): Promise<Spans | undefined> {
  const { size } = await pull.located.registry.stat(pull.located.repository, digest, pull.options);
  if (size === undefined) return undefined;
  const list = ranges.flatMap(range => resolveRange(range, size) ?? []);
  if (list.length === 0) {
    throw new RegistryError('RANGE_INVALID', {
      message: `none of the ${ranges.length} ranges lies within the ${size} bytes of the blob`,
      detail: { size },
    });
  }
  const bytes = list.reduce((sum, span) => sum + span.end - span.start, 0);
  return { list: bytes > size ? [] : list, size };
}

/** 206 with the spans as parts. A joined span is opened when the parts of the one before have been sent. */
async function sendParts(
  pull: PullRequest,
  digest: Digest,
  spans: readonly Span[],
  size: number,
): Promise<void> {
  const { context, located, options, nowMs } = pull;
  const { registry, repository } = located;
  const open = async ({ start, end }: Span): Promise<BlobAnswer> => {
    const answer = await registry.blob(repository, digest, { first: start, last: end - 1 }, options);
    if (answer.start === start && answer.end === end) return answer;
    await answer.reader.close();
    throw new RegistryError('BLOB_UNKNOWN', {
      message: 'the registry cannot give parts of this blob now, only the whole',
    });
  };
  const joined = joinSpans(spans);
  const [firstSpan] = spans;
  const firstJoined = joined.find(({ end }) => firstSpan !== undefined && firstSpan.end <= end);
  if (firstJoined === undefined) throw new Error('there is no span to send');
  const first = await open(firstJoined); // a blob that is not there is an ordinary error answer
  const reader = new MultipartReader({
    spans,
    size,
    contentType: 'application/octet-stream',
    joined,
    first: first.reader,
    open: async span => (await open(span)).reader,
  });
  context.respond = false;
  await pull.sender.send(context.res, {
    reader,
    start: 0,
    end: reader.length,
    signal: options.signal,
    headPatienceMs,
    setHead: () => {
      context.status = 206;
      setFreshness(context, first, nowMs);
      setBodyHead(context, reader.length);
      context.set('Content-Type', reader.contentType);
      setContentNames(context, digest);
    },
    onSent: bytes => context.state.exchange.sent(bytes),
  });
}

export function setBodyHead(context: AppContext, bytes: number | undefined): void {
  context.set('Content-Type', 'application/octet-stream');
  context.set('Accept-Ranges', 'bytes');
  if (bytes !== undefined) context.set('Content-Length', String(bytes));
}

/** 200 or 206 (RFC 9110 15.3.7). Only a whole blob may have an unknown length; it is sent chunked. */
export function setSpan(context: AppContext, answer: BlobAnswer): void {
  const { start, end, size, partial } = answer;
  if (end === undefined && start > 0) {
    throw new Error(`the range from ${start} on has no end`); // a 206 must name its last byte
  }
  if (partial && end !== undefined) {
    context.status = 206;
    context.set('Content-Range', formatContentRange({ start, end }, size));
  } else {
    context.status = 200;
  }
  setBodyHead(context, end === undefined ? undefined : end - start);
}
