/**
 * GET and HEAD of a manifest (OCI distribution-spec end-3): bytes and media type as the registry has them, never chosen by
 * the client's `Accept`. HEAD asks the registry for the descriptor alone, so that it costs an upstream no counted pull.
 */
import type { Descriptor } from '../../oci/manifest.ts';
import type { Reference } from '../../oci/name.ts';
import type { AppContext } from '../exchange.ts';
import { setContentNames, setFreshness } from './answer-headers.ts';
import { isNotModified } from './conditional.ts';
import type { PullRequest } from './pull-request.ts';

export async function answerManifest(pull: PullRequest, reference: Reference): Promise<void> {
  const { context, located, options, nowMs } = pull;
  const { registry, repository } = located;
  if (context.req.method === 'HEAD') {
    const answer = await registry.resolve(repository, reference, options);
    setFreshness(context, answer, nowMs);
    if (!setHead(context, answer.descriptor)) return;
    context.set('Content-Length', String(answer.descriptor.size));
    return;
  }
  const answer = await registry.manifest(repository, reference, options);
  setFreshness(context, answer, nowMs);
  if (setHead(context, answer.descriptor)) context.body = answer.bytes;
}

/** True: 200, the content is wanted. False: 304. */
function setHead(context: AppContext, descriptor: Descriptor): boolean {
  setContentNames(context, descriptor.digest);
  if (isNotModified(context.req.headers['if-none-match'], descriptor.digest)) {
    context.status = 304;
    return false;
  }
  context.status = 200;
  context.set('Content-Type', descriptor.mediaType);
  return true;
}
