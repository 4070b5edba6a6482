/**
 * Pages of tags (OCI distribution-spec end-8), referrers (end-12) and the catalog. A `Link` leads back to this mirror, under
 * the name and `ns` that the client used.
 */
import { buildEndpoint, type Endpoint } from '../../oci/endpoint.ts';
import { formatNextLink } from '../../oci/header-fields.ts';
import { ociIndex } from '../../oci/media-type.ts';
import type { PageOptions, ReadOptions, RepositoryCatalog } from '../../registry/registry.ts';
import type { AppContext, PullRequest } from '../exchange.ts';
import { setFreshness } from './headers.ts';

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
  context.body = JSON.stringify({ name: endpoint.name, tags: page.tags }); // as the client calls it
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

/** Of all upstreams: `ns` selects none, but stays in the `Link`. */
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

/** The part of a query that is the upstream's: all fields but those of this endpoint. */
function pageQuery(query: URLSearchParams): string {
  const own = new URLSearchParams(query);
  own.delete('ns');
  own.delete('artifactType');
  return own.toString();
}

/** This mirror's URL with the upstream's page query, which comes back as `pageQuery`. */
function nextPage(pull: PullRequest, endpoint: Endpoint & { kind: 'referrers' }, nextQuery: string): string {
  const url = buildEndpoint(endpoint, { ns: pull.ns });
  const query = pageQuery(new URLSearchParams(nextQuery));
  return query === '' ? url : `${url}${url.includes('?') ? '&' : '?'}${query}`;
}
