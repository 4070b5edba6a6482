/** Lists of tags of one upstream (OCI distribution-spec end-8a, end-8b), a page at a time. */
import { buildEndpoint } from '../../oci/endpoint.ts';
import type { Repository } from '../../oci/name.ts';
import { appendQuery, nextPageQuery, withoutFields } from '../../oci/page-query.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Reply } from '../request/redirects.ts';
import type { Requester } from '../request/requester.ts';
import { headerOf } from '../transport/transport.ts';
import { parseTagNames } from './tag-names.ts';

export interface TagPage {
  readonly tags: readonly string[];
  readonly nextQuery?: string;
}

export interface TagPageQuery {
  readonly n?: number;
  readonly last?: string;
  /** The upstream's own, from an earlier page's `nextQuery`: goes instead of `n` and `last`. */
  readonly query?: string;
}

/** Registries without pages send all at once: some hundred thousand tags. */
const maxBytes = 16 * 1024 * 1024;

/** Errors: `UpstreamError` of kind `tags`. */
export async function fetchTags(
  requester: Requester,
  repository: Repository,
  page: TagPageQuery,
  deadline: Deadline,
): Promise<TagPage> {
  const request = {
    kind: 'tags',
    method: 'GET',
    path: pathOf(repository, page),
    repository,
    subject: `tags of ${repository}`,
    pool: 'control',
  } as const;
  const reply = await requester.send(request, deadline);
  const bytes = await requester.readBody(request, reply, maxBytes, 'status', deadline);
  const tags = await parseTagNames(bytes);
  if (tags === undefined)
    throw requester.fail('tags', 'status', `the tags of ${repository} are no list in JSON`);
  const nextQuery = nextQueryOf(requester, reply);
  return { tags, ...(nextQuery === undefined ? {} : { nextQuery }) };
}

function pathOf(name: Repository, { n, last, query }: TagPageQuery): string {
  if (query !== undefined)
    return appendQuery(buildEndpoint({ kind: 'tags', name }), withoutFields(query, ['ns']));
  return buildEndpoint({
    kind: 'tags',
    name,
    ...(n === undefined ? {} : { n }),
    ...(last === undefined ? {} : { last }),
  });
}

function nextQueryOf(requester: Requester, reply: Reply): string | undefined {
  try {
    return nextPageQuery(headerOf(reply.headers, 'link'), reply.url);
  } catch (error) {
    throw error instanceof RangeError ? requester.fail('tags', 'status', error.message) : error;
  }
}
