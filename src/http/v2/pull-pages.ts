/**
 * Lists: tags (OCI distribution-spec end-8), referrers (end-12) and the catalog, page by page. A `Link` always leads back
 * to this mirror, under the name and `ns` that the client used.
 */
import { buildEndpoint, type Endpoint } from '../../oci/endpoint.ts';
import { formatNextLink } from '../../oci/header-fields.ts';
import { ociIndex } from '../../oci/media-type.ts';
import type { PageOptions, ReadOptions, RepositoryCatalog } from '../../registry/registry.ts';
import type { AppContext } from '../exchange.ts';
import { setFreshness } from './answer-headers.ts';
import type { PullRequest } from './pull-request.ts';

export async function answerTags(pull: PullRequest, endpoint: Endpoint & { kind: 'tags' }): Promise<void> {
  const { context, located, options, ns, nowMs } = pull;
  const page = await located.registry.tags(located.repository, pageOptions(options, endpoint));
  setFreshness(context, page, nowMs);
  if (page.next !== undefined) {
    const next = buildEndpoint({ kind: 'tags', name: endpoint.name, ...page.next }, { ns });
    context.set('Link', formatNextLink(next));
  }
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.body = JSON.stringify({ name: endpoint.name, tags: page.tags }); // the name that the client knows it by
}

export async function answerReferrers(
  pull: PullRequest,
  endpoint: Endpoint & { kind: 'referrers' },
): Promise<void> {
  const { context, located, options, nowMs } = pull;
  const { digest, artifactType } = endpoint;
  const query = pageQuery(pull.query);
  const answer = await located.registry.referrers(located.repository, digest, artifactType, {
    ...options,
    ...(query !== '' && { query }),
  });
  setFreshness(context, answer, nowMs);
  if (answer.filtered) context.set('OCI-Filters-Applied', 'artifactType');
  if (answer.nextQuery !== undefined) {
    context.set('Link', formatNextLink(nextPage(pull, endpoint, answer.nextQuery)));
  }
  context.status = 200;
  context.set('Content-Type', ociIndex);
  context.body = answer.bytes;
}

/** Of all upstreams, whatever `ns` says; an `ns` stays in the `Link` all the same. */
export async function answerCatalog(
  context: AppContext,
  catalog: RepositoryCatalog,
  endpoint: Endpoint & { kind: 'catalog' },
  options: ReadOptions,
  ns: string | undefined,
): Promise<void> {
  const page = await catalog.repositories(pageOptions(options, endpoint));
  context.state.exchange.record(page);
  if (page.next !== undefined) {
    context.set('Link', formatNextLink(buildEndpoint({ kind: 'catalog', ...page.next }, { ns })));
  }
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.body = JSON.stringify({ repositories: page.repositories });
}

function pageOptions(
  options: ReadOptions,
  { n, last }: { readonly n?: number; readonly last?: string },
): PageOptions {
  return { ...options, ...(n !== undefined && { n }), ...(last !== undefined && { last }) };
}

/** What of a query is the upstream's own: everything but what this endpoint defines. */
function pageQuery(query: URLSearchParams): string {
  const own = new URLSearchParams(query);
  own.delete('ns');
  own.delete('artifactType');
  return own.toString();
}

/** Our own URL, and the upstream's page query behind it: it comes back to us as `pageQuery`. */
function nextPage(pull: PullRequest, endpoint: Endpoint, nextQuery: string): string {
  const url = buildEndpoint(endpoint, { ns: pull.ns });
  const query = pageQuery(new URLSearchParams(nextQuery));
  return query === '' ? url : `${url}${url.includes('?') ? '&' : '?'}${query}`;
}
