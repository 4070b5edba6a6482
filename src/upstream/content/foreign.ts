/**
 * Content of one upstream under a digest that isn't computed here (`blake3:…`): one request to the same path with the same method, and its
 * answer as it comes. Nothing vouches for the bytes but the client's own check. A manifest larger than 4 MiB is answered as if it weren't there.
 */
import { buildEndpoint } from '../../oci/endpoint.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import { bareMediaType, manifestAccept, octetStream } from '../../oci/media-type.ts';
import type { Repository } from '../../oci/name.ts';
import type { ForeignAnswer, ForeignQuestion } from '../../registry/registry.ts';
import type { Account } from '../account.ts';
import type { RegistryRequest } from '../request/redirects.ts';
import { drain } from '../transport/body.ts';
import { headerOf } from '../transport/transport.ts';
import type { OpenOptions } from './blobs.ts';
import { answerBlob, lengthOf } from './transfer.ts';

type AskOptions = Pick<OpenOptions, 'signal' | 'timeoutMs' | 'requestId'>;

/** Errors: UpstreamError, RANGE_INVALID. */
export function passForeign(
  account: Account,
  repository: Repository,
  question: ForeignQuestion,
  options: AskOptions,
): Promise<ForeignAnswer> {
  const pass = question.of === 'manifest' ? passManifest : passBlob;
  return pass(account, repository, question, options);
}

async function passManifest(
  { operations, requester }: Account,
  repository: Repository,
  { digest, method }: ForeignQuestion,
  { signal, timeoutMs, requestId }: AskOptions,
): Promise<ForeignAnswer> {
  const kind = 'manifest';
  const request: RegistryRequest = {
    kind,
    method,
    path: buildEndpoint({ kind: 'foreign', of: kind, name: repository, digest }),
    repository,
    subject: `${repository}@${digest}`,
    pool: 'control',
    headers: { accept: manifestAccept },
  };
  const operation = {
    kind,
    subject: `${method} ${repository} ${digest}`,
    signal,
    timeoutMs,
    requestId,
  } as const;
  return operations.run(operation, async deadline => {
    const reply = await requester.send(request, deadline);
    const mediaType = bareMediaType(headerOf(reply.headers, 'content-type') ?? '') || octetStream;
    const answer = { outcome: 'passthrough', mediaType } as const;
    if (method === 'HEAD') {
      drain(reply.body);
      return { ...answer, size: lengthOf(reply) };
    }
    const body = await requester.readBody(request, reply, maxManifestBytes, 'gone', deadline);
    return { ...answer, size: body.length, body };
  });
}

async function passBlob(
  { blobs }: Account,
  repository: Repository,
  { digest, method, range }: ForeignQuestion,
  options: AskOptions,
): Promise<ForeignAnswer> {
  const answer = { outcome: 'passthrough', mediaType: octetStream } as const;
  if (method === 'HEAD') return { ...answer, size: await blobs.stat(repository, digest, options) };
  const body = await answerBlob(range, options.signal, signal =>
    blobs.open(repository, digest, range, { ...options, signal }),
  );
  return { ...answer, size: body.size, body };
}
