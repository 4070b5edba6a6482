/**
 * What refers to a manifest (OCI distribution-spec end-12a, end-12b). Registries without the endpoint keep an index
 * under a tag made of the digest ("Referrers Tag Schema"). Nothing there is an empty index, never a 404.
 */
import { algorithmOf, type Digest, hexOf } from '../../oci/digest.ts';
import { buildEndpoint } from '../../oci/endpoint.ts';
import { parseNextLink } from '../../oci/header-fields.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import { isIndexType } from '../../oci/media-type.ts';
import { parseTag, type Repository, type Tag } from '../../oci/name.ts';
import { emptyReferrers, filterReferrers, parseReferrers } from '../../oci/referrer-list.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Reply } from '../request/request-kind.ts';
import type { Requester } from '../request/requester.ts';
import { drain, readBody } from '../transport/body.ts';
import { headerOf, type Transport } from '../transport/transport.ts';
import type { Manifests } from './manifests.ts';

export interface ReferrersOptions {
  readonly key: string;
  readonly requester: Requester;
  readonly manifests: Manifests;
  readonly transport: Transport;
}

export interface ReferrersPage {
  readonly bytes: Buffer;
  /** The list holds only what was asked for, whoever left the rest out. */
  readonly filtered: boolean;
  readonly nextQuery?: string;
}

export interface ReferrersQuestion {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly artifactType: string | undefined;
  /** The upstream's own, from an earlier page's `nextQuery`. */
  readonly query: string | undefined;
}

/** Errors: `UpstreamError` of kind `referrers`. */
export async function fetchReferrers(
  options: ReferrersOptions,
  question: ReferrersQuestion,
  budget: Deadline,
): Promise<ReferrersPage> {
  const { repository, artifactType } = question;
  const reply = await options.requester.ask(
    {
      kind: 'referrers',
      method: 'GET',
      path: pathOf(question),
      repository,
      lane: 'control',
      accepts: isNotFound,
    },
    budget,
  );
  if (reply.status === 404 || !isIndexType(headerOf(reply.headers, 'content-type') ?? '')) {
    drain(reply.body);
    return filter(await fetchByTag(options, question, budget), artifactType);
  }
  const bytes = await readPage(options, question, reply, budget);
  const nextQuery = nextQueryOf(reply);
  const next = nextQuery === undefined ? {} : { nextQuery };
  const applied = (headerOf(reply.headers, 'oci-filters-applied') ?? '').split(/\s*,\s*/);
  if (applied.includes('artifactType')) return { bytes, filtered: true, ...next };
  return { ...filter(bytes, artifactType), ...next };
}

function isNotFound(status: number): boolean {
  return status === 404;
}

function pathOf({ repository, digest, artifactType, query }: ReferrersQuestion): string {
  const path = buildEndpoint({
    kind: 'referrers',
    name: repository,
    digest,
    ...(artifactType === undefined ? {} : { artifactType }),
  });
  if (query === undefined) return path;
  const mark = path.indexOf('?');
  const parameters = new URLSearchParams(mark === -1 ? '' : path.slice(mark));
  for (const [name, value] of new URLSearchParams(query)) if (name !== 'ns') parameters.set(name, value);
  return `${mark === -1 ? path : path.slice(0, mark)}?${parameters}`;
}

async function readPage(
  options: ReferrersOptions,
  question: ReferrersQuestion,
  reply: Reply,
  budget: Deadline,
): Promise<Buffer> {
  try {
    return await readBody(reply, maxManifestBytes);
  } catch (error) {
    budget.signal.throwIfAborted();
    const message = `expected the referrers of ${question.digest}: ${options.transport.explain(error).message}`;
    throw new UpstreamError({ upstream: options.key, kind: 'referrers', failure: 'unreachable', message });
  }
}

async function fetchByTag(
  options: ReferrersOptions,
  { repository, digest }: ReferrersQuestion,
  budget: Deadline,
): Promise<Buffer> {
  try {
    const found = await options.manifests.fetch(repository, referrersTag(digest), budget, 'referrers');
    return isIndexType(found.descriptor.mediaType) ? found.bytes : emptyReferrers();
  } catch (error) {
    if (error instanceof UpstreamError && error.failure === 'gone') return emptyReferrers();
    throw error;
  }
}

/** OCI distribution-spec "Referrers Tag Schema": at most 32 characters of the algorithm and 64 of the rest. */
export function referrersTag(digest: Digest): Tag {
  return parseTag(`${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`);
}

/** A list that is no JSON goes on as it is: whoever reads it will say so. */
function filter(bytes: Buffer, artifactType: string | undefined): ReferrersPage {
  const index = artifactType === undefined ? undefined : parseReferrers(bytes);
  if (index === undefined || artifactType === undefined) return { bytes, filtered: false };
  return { bytes: filterReferrers(index, artifactType), filtered: true };
}

function nextQueryOf(reply: Reply): string | undefined {
  const link = parseNextLink(headerOf(reply.headers, 'link'));
  if (link === undefined || !URL.canParse(link, reply.url.href)) return undefined;
  return new URL(link, reply.url).search.slice(1) || undefined;
}
