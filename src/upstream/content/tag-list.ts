/** Lists of tags of one upstream (OCI distribution-spec end-8a, end-8b), a page at a time. */
import { buildEndpoint } from '../../oci/endpoint.ts';
import { parseNextLink } from '../../oci/header-fields.ts';
import { isTag, type Repository } from '../../oci/name.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Requester } from '../request/requester.ts';
import { headerOf } from '../transport/transport.ts';

export interface TagPage {
  readonly tags: readonly string[];
  readonly next?: { readonly last: string; readonly n?: number };
}

/** Registries without pages send all at once: a hundred thousand tags. */
const maxBytes = 16 * 1024 * 1024;

/** Errors: `UpstreamError` of kind `tags`. */
export async function fetchTags(
  requester: Requester,
  repository: Repository,
  page: { readonly n?: number; readonly last?: string },
  deadline: Deadline,
): Promise<TagPage> {
  const path = buildEndpoint({
    kind: 'tags',
    name: repository,
    ...(page.n === undefined ? {} : { n: page.n }),
    ...(page.last === undefined ? {} : { last: page.last }),
  });
  const request = {
    kind: 'tags',
    method: 'GET',
    path,
    repository,
    subject: `tags of ${repository}`,
    pool: 'control',
  } as const;
  const reply = await requester.send(request, deadline);
  const tags = parseTags(await requester.readBody(request, reply, maxBytes, 'status', deadline));
  if (tags === undefined)
    throw requester.fail('tags', 'status', `the tags of ${repository} are no list in JSON`);
  const next = nextOf(parseNextLink(headerOf(reply.headers, 'link')), reply.url, tags);
  return { tags, ...(next === undefined ? {} : { next }) };
}

/** `"tags": null` is an empty list: Go's way to write one. */
function parseTags(bytes: Buffer): string[] | undefined {
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof body !== 'object' || body === null || !('tags' in body)) return undefined;
  if (body.tags === null) return [];
  return Array.isArray(body.tags)
    ? body.tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag))
    : undefined;
}

/** An upstream that names its pages in its own way takes the last tag of this page as well. */
function nextOf(link: string | undefined, url: URL, tags: readonly string[]): TagPage['next'] {
  if (link === undefined || !URL.canParse(link, url.href)) return undefined;
  const query = new URL(link, url).searchParams;
  const last = query.get('last') ?? tags.at(-1);
  const n = Number(query.get('n') ?? Number.NaN);
  return last === undefined ? undefined : { last, ...(Number.isSafeInteger(n) && n > 0 ? { n } : {}) };
}
