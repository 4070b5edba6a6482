/**
 * GET and HEAD of content under a digest that isn't computed here: what the registry passes through, under the names that the client asked
 * with. Such a manifest is never at hand, so no condition of the client is looked at; of a blob one range is given, for several the whole.
 */
import type { Endpoint } from '../../oci/endpoint.ts';
import { RegistryError } from '../../oci/error.ts';
import { fitMediaType } from '../../oci/media-type.ts';
import { parseRange } from '../../oci/range.ts';
import type { PullRequest } from '../exchange.ts';
import { isRangeCurrent, setContentNames, setFreshness } from './headers.ts';
import { setBodyHead, setSpan } from './pull-blob.ts';

/** Errors: MANIFEST_UNKNOWN and BLOB_UNKNOWN, always so where the registry passes nothing through; those of the registry. */
export async function answerForeign(
  { context, located, options, nowMs, sender }: PullRequest,
  { of, digest }: Extract<Endpoint, { readonly kind: 'foreign' }>,
): Promise<void> {
  const { registry, repository } = located;
  if (registry.foreign === undefined) {
    throw new RegistryError(of === 'manifest' ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN', {
      message: `${repository} has no content under this kind of digest, only sha256 and sha512`,
    });
  }
  const { headers } = context.req;
  const method = context.req.method === 'HEAD' ? 'HEAD' : 'GET';
  const mayRange =
    of === 'blob' && method === 'GET' && isRangeCurrent(headers['if-range']?.toString(), digest);
  const ranges = mayRange ? parseRange(headers.range) : undefined;
  const range = ranges?.length === 1 ? ranges[0] : undefined;
  const answer = await registry.foreign(repository, { of, digest, method, range }, options);
  const { body, mediaType, size } = answer;
  const setNames = () => {
    setFreshness(context, answer, nowMs);
    setContentNames(context, digest);
  };
  if (body !== undefined && !Buffer.isBuffer(body)) {
    context.respond = false; // the sender writes the body and closes the reader
    await sender.send(context.res, {
      ...body,
      signal: options.signal,
      headPatienceMs: undefined,
      setHead: () => {
        setSpan(context, body);
        setNames();
      },
      onSent: bytes => context.state.exchange.sent(bytes),
    });
    return;
  }
  setNames();
  context.status = 200;
  if (of === 'blob') {
    setBodyHead(context, size);
    return;
  }
  context.set('Content-Type', fitMediaType(mediaType));
  if (body !== undefined) context.body = body;
  else if (size !== undefined) context.set('Content-Length', String(size));
}
