/**
 * Pages of tags (OCI distribution-spec end-8), referrers (end-12) and the catalog. A `Link` leads back to this mirror, under
 * the name and `ns` that the client used.
 */
import { TimeSlice } from '../../lib/time-slice.ts';
import { buildEndpoint, type Endpoint } from '../../oci/endpoint.ts';
import { formatNextLink } from '../../oci/header-fields.ts';
import { ociIndex } from '../../oci/media-type.ts';
import { appendQuery, withoutFields } from '../../oci/page-query.ts';
import type { PageOptions, ReadOptions, RepositoryCatalog } from '../../registry/registry.ts';
import type { AppContext, PullRequest } from '../exchange.ts';
import { setFreshness } from './headers.ts';

export async function answerTags(pull: PullRequest, endpoint: Endpoint & { kind: 'tags' }): Promise<void> {
  const { context, located, options, ns, nowMs } = pull;
  const query = pageQuery(pull, ['n', 'last']);
  const page = await located.registry.tags(located.repository, {
    ...pageOptions(options, endpoint),
    ...(query !== '' && { query: pageQuery(pull) }),
  });
  setFreshness(context, page, nowMs);
  const name = endpoint.name; // as the client calls it
  if (page.nextQuery !== undefined) {
    context.set(
      'Link',
      formatNextLink(nextPage(buildEndpoint({ kind: 'tags', name }, { ns }), page.nextQuery)),
    );
  } else if (page.next !== undefined) {
    context.set('Link', formatNextLink(buildEndpoint({ kind: 'tags', name, ...page.next }, { ns })));
  }
  const body = await formatTags(name, page.tags);
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.body = body;
}

const tagsPerBlock = 2000;

/** As JSON, in slices: there are lists of some hundred thousand tags. */
async function formatTags(name: string, tags: readonly string[]): Promise<Buffer> {
  const slice = new TimeSlice();
  const [start, end] = [`{"name":${JSON.stringify(name)},"tags":[`, ']}'];
  const blocks = [Buffer.from(start)];
  for (let at = 0; at < tags.length; at += tagsPerBlock) {
    const block = JSON.stringify(tags.slice(at, at + tagsPerBlock)).slice(1, -1);
    blocks.push(Buffer.from(at === 0 ? block : `,${block}`));
    if (slice.isOver) await slice.next();
  }
  blocks.push(Buffer.from(end));
  return Buffer.concat(blocks);
}

export async function answerReferrers(
  pull: PullRequest,
  endpoint: Endpoint & { kind: 'referrers' },
): Promise<void> {
  const { context, located, options, ns, nowMs } = pull;
  const { digest, artifactType } = endpoint;
  const query = pageQuery(pull, ['artifactType']);
  const answer = await located.registry.referrers(located.repository, digest, artifactType, {
    ...options,
    ...(query !== '' && { query }),
  });
  setFreshness(context, answer, nowMs);
  if (answer.filtered) context.set('OCI-Filters-Applied', 'artifactType');
  if (answer.nextQuery !== undefined) {
    context.set(
      'Link',
      formatNextLink(nextPage(buildEndpoint(endpoint, { ns }), answer.nextQuery, ['artifactType'])),
    );
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

/** The part of the request's query that is the upstream's, as it was written: all fields but `ns` and those of this endpoint. */
function pageQuery({ context }: PullRequest, own: readonly string[] = []): string {
  const { url = '' } = context.req;
  const mark = url.indexOf('?');
  return mark === -1 ? '' : withoutFields(url.slice(mark + 1), ['ns', ...own]);
}

/** This mirror's URL with the upstream's page query, which comes back as `pageQuery`. */
function nextPage(url: string, nextQuery: string, own: readonly string[] = []): string {
  return appendQuery(url, withoutFields(nextQuery, ['ns', ...own]));
}
