/** Lists of tags of one upstream (OCI distribution-spec end-8a, end-8b), a page at a time. */
import { buildEndpoint } from '../../oci/endpoint.ts';
import { parseNextLink } from '../../oci/header-fields.ts';
import { isTag, type Repository } from '../../oci/name.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Requester } from '../request/requester.ts';
import { BodyTooLarge, readBody } from '../transport/body.ts';
import { headerOf, type Transport } from '../transport/transport.ts';

export interface TagListOptions {
  readonly key: string;
  readonly requester: Requester;
  readonly transport: Transport;
}

export interface TagPage {
  readonly tags: readonly string[];
  readonly next?: { readonly last: string; readonly n?: number };
}

/** Registries without pages send all at once: a hundred thousand tags. */
const maxBytes = 16 * 1024 * 1024;

/** Errors: `UpstreamError` of kind `tags`. */
export async function fetchTags(
  options: TagListOptions,
  repository: Repository,
  page: { readonly n?: number; readonly last?: string },
  budget: Deadline,
): Promise<TagPage> {
  const path = buildEndpoint({
    kind: 'tags',
    name: repository,
    ...(page.n === undefined ? {} : { n: page.n }),
    ...(page.last === undefined ? {} : { last: page.last }),
  });
  const reply = await options.requester.ask(
    { kind: 'tags', method: 'GET', path, repository, lane: 'control' },
    budget,
  );
  let bytes: Buffer;
  try {
    bytes = await readBody(reply, maxBytes);
  } catch (error) {
    budget.signal.throwIfAborted();
    const isLarge = error instanceof BodyTooLarge;
    const message = isLarge ? error.message : options.transport.explain(error).message;
    throw fail(options, isLarge ? 'status' : 'unreachable', `expected the tags of ${repository}: ${message}`);
  }
  const tags = parseTags(bytes);
  if (tags === undefined)
    throw fail(options, 'status', `expected the tags of ${repository} in JSON, got something else`);
  const next = nextOf(parseNextLink(headerOf(reply.headers, 'link')), reply.url, tags);
  return { tags, ...(next === undefined ? {} : { next }) };
}

function fail(options: TagListOptions, failure: 'status' | 'unreachable', message: string): UpstreamError {
  return new UpstreamError({ upstream: options.key, kind: 'tags', failure, message });
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

/** Where pages are named in a way of the upstream's own, the last tag of this one does as well. */
function nextOf(link: string | undefined, url: URL, tags: readonly string[]): TagPage['next'] {
  if (link === undefined || !URL.canParse(link, url.href)) return undefined;
  const query = new URL(link, url).searchParams;
  const last = query.get('last') ?? tags.at(-1);
  const n = Number(query.get('n') ?? Number.NaN);
  return last === undefined ? undefined : { last, ...(Number.isSafeInteger(n) && n > 0 ? { n } : {}) };
}
