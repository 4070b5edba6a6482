/**
 * GET and HEAD of a blob (OCI distribution-spec end-2): whole, or one range. Several satisfiable ranges at once get the
 * whole blob with 200, which RFC 9110 14.2 leaves to the server; exactly one is always honoured.
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { type ByteRange, formatContentRange, parseRange, resolveRange } from '../oci/range.ts';
import type { BlobAnswer } from '../registry/registry.ts';
import { setContentNames, setFreshness } from './answer-headers.ts';
import { isNotModified, isRangeCurrent } from './conditional.ts';
import type { AppContext } from './exchange.ts';
import type { PullRequest } from './pull-request.ts';
import { sendBlob } from './send-blob.ts';

/** Well below the 30 s that containerd waits for headers. */
const headPatienceMs = 5000;

export async function answerBlob(pull: PullRequest, digest: Digest): Promise<void> {
  const { context, located, options, nowMs } = pull;
  const { headers, method } = context.req;
  const { registry, repository } = located;
  const notModified = isNotModified(headers['if-none-match'], digest);
  if (method === 'HEAD' || notModified) {
    // The digest is in the URL, so a 304 needs no bytes: only that the blob may be had here.
    const answer = await registry.stat(repository, digest, options);
    setFreshness(context, answer, nowMs);
    setContentNames(context, digest);
    context.status = notModified ? 304 : 200;
    if (!notModified) setBodyHead(context, answer.size);
    return;
  }
  const range = await pickRange(pull, digest);
  const answer = await registry.blob(repository, digest, range, options);
  context.respond = false; // from here on the body is ours, and so is closing the reader
  await sendBlob(context.res, {
    ...answer,
    signal: options.signal,
    headPatienceMs: answer.outcome === 'hit' ? undefined : headPatienceMs,
    setHead: () => {
      setSpan(context, answer);
      setFreshness(context, answer, nowMs);
      setContentNames(context, digest);
    },
    onSent: bytes => context.state.exchange.sent(bytes),
  });
}

/** Undefined: the whole blob. Errors: RANGE_INVALID when none of several can be satisfied; those of `stat`. */
async function pickRange(pull: PullRequest, digest: Digest): Promise<ByteRange | undefined> {
  const { headers } = pull.context.req;
  if (!isRangeCurrent(headers['if-range']?.toString(), digest)) return undefined;
  const ranges = parseRange(headers.range);
  if (ranges === undefined || ranges.length <= 1) return ranges?.[0];
  const { size } = await pull.located.registry.stat(pull.located.repository, digest, pull.options);
  if (size === undefined) return undefined;
  const satisfiable = ranges.filter(range => resolveRange(range, size) !== undefined);
  if (satisfiable.length === 0) {
    throw new RegistryError('RANGE_INVALID', {
      message: `expected a range within ${size} bytes, got ${ranges.length} outside`,
      detail: { size },
    });
  }
  return satisfiable.length === 1 ? satisfiable[0] : undefined;
}

function setBodyHead(context: AppContext, bytes: number | undefined): void {
  context.set('Content-Type', 'application/octet-stream');
  context.set('Accept-Ranges', 'bytes');
  if (bytes !== undefined) context.set('Content-Length', String(bytes));
}

/** 200 or 206 (RFC 9110 15.3.7). Of unknown length: chunked, which only a whole blob can be. */
function setSpan(context: AppContext, answer: BlobAnswer): void {
  const { start, end, size, partial } = answer;
  if (end === undefined && start > 0) {
    throw new Error(`expected a range with an end, got one from ${start} on`); // a 206 must name its last byte
  }
  if (partial && end !== undefined) {
    context.status = 206;
    context.set('Content-Range', formatContentRange({ start, end }, size));
  } else {
    context.status = 200;
  }
  setBodyHead(context, end === undefined ? undefined : end - start);
}
