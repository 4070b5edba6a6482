/**
 * What refers to a manifest (OCI distribution-spec end-12a, end-12b). Registries without the endpoint keep an index
 * under a tag made of the digest ("Referrers Tag Schema"). No referrers are an empty index, never a 404.
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
import type { Reply } from '../request/redirects.ts';
import type { Requester } from '../request/requester.ts';
import { drain } from '../transport/body.ts';
import { headerOf } from '../transport/transport.ts';
import type { Manifests } from './manifests.ts';

export interface ReferrersPage {
  readonly bytes: Buffer;
  /** The list holds only what was asked for: the upstream or this file left the rest out. */
  readonly filtered: boolean;
  readonly nextQuery?: string;
}

export interface ReferrersQuery {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly artifactType: string | undefined;
  /** The upstream's own, from an earlier page's `nextQuery`. */
  readonly query: string | undefined;
}

/** Errors: `UpstreamError` of kind `referrers`. */
export async function fetchReferrers(
  requester: Requester,
  manifests: Manifests,
  query: ReferrersQuery,
  deadline: Deadline,
): Promise<ReferrersPage> {
  const { repository, digest, artifactType } = query;
  const request = {
    kind: 'referrers',
    method: 'GET',
    path: pathOf(query),
    repository,
    subject: `referrers of ${repository}@${digest}`,
    pool: 'control',
    accepts: isNotFound,
  } as const;
  const reply = await requester.send(request, deadline);
  if (reply.status === 404 || !isIndexType(headerOf(reply.headers, 'content-type') ?? '')) {
    drain(reply.body);
    return filterPage(await fetchByTag(manifests, repository, digest, deadline), artifactType);
  }
  const bytes = await requester.readBody(request, reply, maxManifestBytes, 'unreachable', deadline);
  const nextQuery = nextQueryOf(reply);
  const next = nextQuery === undefined ? {} : { nextQuery };
  const applied = (headerOf(reply.headers, 'oci-filters-applied') ?? '').split(/\s*,\s*/);
  if (applied.includes('artifactType')) return { bytes, filtered: true, ...next };
  return { ...filterPage(bytes, artifactType), ...next };
}

function isNotFound(status: number): boolean {
  return status === 404;
}

function pathOf({ repository, digest, artifactType, query }: ReferrersQuery): string {
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

async function fetchByTag(
  manifests: Manifests,
  repository: Repository,
  digest: Digest,
  deadline: Deadline,
): Promise<Buffer> {
  try {
    const found = await manifests.fetch(repository, referrersTag(digest), deadline, 'referrers');
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

/** A list that is no JSON goes on as it is: its reader reports it. */
function filterPage(bytes: Buffer, artifactType: string | undefined): ReferrersPage {
  const index = artifactType === undefined ? undefined : parseReferrers(bytes);
  if (index === undefined || artifactType === undefined) return { bytes, filtered: false };
  return { bytes: filterReferrers(index, artifactType), filtered: true };
}

function nextQueryOf(reply: Reply): string | undefined {
  const link = parseNextLink(headerOf(reply.headers, 'link'));
  if (link === undefined || !URL.canParse(link, reply.url.href)) return undefined;
  return new URL(link, reply.url).search.slice(1) || undefined;
}
