/**
 * PUT and DELETE of a manifest, DELETE of a blob (OCI distribution-spec end-7, end-9, end-10). A manifest that is too large, or that
 * a read-only registry doesn't take, is refused before it is read. URLs in answers are paths, so they are right whatever proxy stands in front.
 */
import type { Digest } from '../../oci/digest.ts';
import { isDigest } from '../../oci/digest.ts';
import { buildEndpoint } from '../../oci/endpoint.ts';
import { RegistryError } from '../../oci/error.ts';
import { manifestTooLarge, maxManifestBytes } from '../../oci/manifest.ts';
import { parseTag, type Reference, type Tag } from '../../oci/name.ts';
import { tell } from '../events.ts';
import type { PushRequest } from '../exchange.ts';
import { readWholeBody } from '../server/request-body.ts';
import { answerEmpty, digestHeader } from './headers.ts';

const bodyLimits = { max: { bytes: maxManifestBytes, error: manifestTooLarge }, idleMs: 60_000 };
/** Of one request (`?tag=`). */
const maxTags = 100;

export async function answerManifestPut(push: PushRequest, reference: Reference): Promise<void> {
  const { context, writer, repository, options, name, ns } = push;
  writer.requireMayWrite(repository);
  const tags = tagsOf(push);
  const mediaType = context.req.headers['content-type'] ?? '';
  const bytes = await readWholeBody(context.req, context.res, bodyLimits);
  const answer = await writer.putManifest(repository, reference, { bytes, mediaType, tags }, options);
  const { descriptor, moved } = answer;
  const { digest } = descriptor;
  tell(push, { type: 'manifest-pushed', reference, descriptor, tags: answer.tags });
  for (const { tag, from } of moved)
    tell(push, { type: 'tag-moved', tag, to: digest, how: 'push', ...(from !== undefined && { from }) });
  context.set('Location', buildEndpoint({ kind: 'manifest', name, reference: digest }, { ns }));
  context.set(digestHeader, digest);
  if (answer.subject !== undefined) context.set('OCI-Subject', answer.subject);
  if (answer.tags.length > 0) context.set('OCI-Tag', [...answer.tags]);
  answerEmpty(context, 201);
}

export async function answerManifestDelete(push: PushRequest, reference: Reference): Promise<void> {
  const { deleter, repository, options } = push;
  if (isDigest(reference)) {
    await deleter.deleteManifest(repository, reference, options);
    tell(push, { type: 'manifest-deleted', digest: reference });
  } else {
    await deleter.deleteTag(repository, reference, options);
    tell(push, { type: 'tag-deleted', tag: reference });
  }
  answerAccepted(push);
}

export async function answerBlobDelete(push: PushRequest, digest: Digest): Promise<void> {
  await push.deleter.deleteBlob(push.repository, digest, push.options);
  tell(push, { type: 'blob-deleted', digest });
  answerAccepted(push);
}

/** It is gone for clients at once; the disk gets its room back later. */
function answerAccepted({ context }: PushRequest): void {
  answerEmpty(context, 202);
}

/** Errors: TAG_INVALID. */
function tagsOf({ query }: PushRequest): readonly Tag[] {
  const tags = query.getAll('tag').map(parseTag);
  if (tags.length <= maxTags) return tags;
  throw new RegistryError('TAG_INVALID', {
    message: `one push sets at most ${maxTags} further tags, and this one names ${tags.length}`,
  });
}
