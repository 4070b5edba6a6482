/**
 * What refers to a manifest (OCI distribution-spec end-12a, end-12b). Registries without the endpoint keep an index
 * under a tag made of the digest ("Referrers Tag Schema"). No referrers are an empty index, never a 404.
 */
import { algorithmOf, type Digest, hexOf } from '../../oci/digest.ts';
import { buildEndpoint } from '../../oci/endpoint.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import { isIndexType } from '../../oci/media-type.ts';
import { parseTag, type Repository, type Tag } from '../../oci/name.ts';
import { appendQuery, nextPageQuery, withoutFields } from '../../oci/page-query.ts';
import { emptyReferrers, filterReferrers, parseReferrers } from '../../oci/referrer-list.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Deadline } from '../request/deadline.ts';
import type { RegistryRequest, Reply } from '../request/redirects.ts';
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

/** What registries answer that don't know the endpoint, or not this form of it. */
const unknownEndpoint: ReadonlySet<number> = new Set([400, 404, 405, 406, 501]);

/** Errors: `UpstreamError` of kind `referrers`. */
export async function fetchReferrers(
  requester: Requester,
  manifests: Manifests,
  query: ReferrersQuery,
  deadline: Deadline,
): Promise<ReferrersPage> {
  const { repository, digest, artifactType } = query;
  const isFirst = query.query === undefined;
  const request = {
    kind: 'referrers',
    method: 'GET',
    path: pathOf(query),
    repository,
    subject: `referrers of ${repository}@${digest}`,
    pool: 'control',
    accepts: (status: number) => isFirst && unknownEndpoint.has(status),
  } as const;
  const reply = await requester.send(request, deadline);
  const bytes = await readIndex(requester, request, reply, deadline);
  if (bytes === undefined && isFirst)
    return filterPage(await fetchByTag(manifests, repository, digest, deadline), artifactType);
  if (bytes === undefined)
    throw requester.fail('referrers', 'status', `a page of the ${request.subject} is no index`);
  const nextQuery = nextQueryOf(requester, reply);
  const next = nextQuery === undefined ? {} : { nextQuery };
  const applied = (headerOf(reply.headers, 'oci-filters-applied') ?? '').split(/\s*,\s*/);
  if (applied.includes('artifactType')) return { bytes, filtered: true, ...next };
  return { ...filterPage(bytes, artifactType), ...next };
}

/** Undefined: another status, or a body that is no index. */
async function readIndex(
  requester: Requester,
  request: RegistryRequest,
  reply: Reply,
  deadline: Deadline,
): Promise<Buffer | undefined> {
  if (unknownEndpoint.has(reply.status) || !isIndexType(headerOf(reply.headers, 'content-type') ?? '')) {
    drain(reply.body);
    return undefined;
  }
  const bytes = await requester.readBody(request, reply, maxManifestBytes, 'unreachable', deadline);
  return parseReferrers(bytes) === undefined ? undefined : bytes;
}

/** A page's own query goes as it is; it has the filter already where the registry put it there. */
function pathOf({ repository, digest, artifactType, query }: ReferrersQuery): string {
  const page = query === undefined ? '' : withoutFields(query, ['ns']);
  const isFiltered = artifactType !== undefined && !new URLSearchParams(page).has('artifactType');
  const path = buildEndpoint({
    kind: 'referrers',
    name: repository,
    digest,
    ...(isFiltered && { artifactType }),
  });
  return appendQuery(path, page);
}

/** No tag, and a tag that leads to the subject itself or to no list, mean that nothing refers to it. */
async function fetchByTag(
  manifests: Manifests,
  repository: Repository,
  digest: Digest,
  deadline: Deadline,
): Promise<Buffer> {
  try {
    const found = await manifests.fetch(repository, referrersTag(digest), deadline, 'referrers');
    const { mediaType, digest: listed } = found.descriptor;
    const isList = isIndexType(mediaType) && listed !== digest && parseReferrers(found.bytes) !== undefined;
    return isList ? found.bytes : emptyReferrers();
  } catch (error) {
    if (error instanceof UpstreamError && error.failure === 'gone') return emptyReferrers();
    throw error;
  }
}

/** OCI distribution-spec "Referrers Tag Schema": at most 32 characters of the algorithm and 64 of the rest. */
export function referrersTag(digest: Digest): Tag {
  return parseTag(`${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`);
}

function filterPage(bytes: Buffer, artifactType: string | undefined): ReferrersPage {
  const index = artifactType === undefined ? undefined : parseReferrers(bytes);
  if (index === undefined || artifactType === undefined) return { bytes, filtered: false };
  return { bytes: filterReferrers(index, artifactType), filtered: true };
}

function nextQueryOf(requester: Requester, reply: Reply): string | undefined {
  try {
    return nextPageQuery(headerOf(reply.headers, 'link'), reply.url);
  } catch (error) {
    throw error instanceof RangeError ? requester.fail('referrers', 'status', error.message) : error;
  }
}
