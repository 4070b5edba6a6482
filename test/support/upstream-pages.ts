/**
 * The two listings of the fake upstream: tags (distribution-spec end-8) and referrers (end-12).
 */
import { bytesBlob } from './content.ts';
import type { RepositoryContent } from './repository-content.ts';
import { contentAnswer, type UpstreamAnswer } from './upstream-answer.ts';
import type { UpstreamRequest } from './upstream-request.ts';

/** Sorted, after `last`, at most `n`; a Link when there are more, unless the upstream knows no Link. */
export function tagsAnswer(
  content: RepositoryContent,
  repository: string,
  { query }: UpstreamRequest,
  options: { readonly linkless: boolean; readonly maxPage: number },
): UpstreamAnswer {
  const last = query.get('last') ?? '';
  const rest = content.tags(repository).filter(tag => tag > last);
  const n = query.has('n') ? Number(query.get('n')) : undefined;
  const page = options.linkless ? rest : rest.slice(0, Math.min(n ?? Infinity, options.maxPage));
  const more = page.length > 0 && page.length < rest.length;
  const next = new URLSearchParams({ n: String(n ?? options.maxPage), last: page.at(-1) ?? '' });
  return contentAnswer(
    200,
    {
      'Content-Type': 'application/json',
      ...(more && { Link: `</v2/${repository}/tags/list?${next}>; rel="next"` }),
    },
    bytesBlob(JSON.stringify({ name: repository, tags: page })),
  );
}

/** An index of the manifests whose `subject` is the digest, filtered by `artifactType` if asked. */
export function referrersAnswer(
  content: RepositoryContent,
  repository: string,
  request: UpstreamRequest,
): UpstreamAnswer {
  const wanted = request.query.get('artifactType');
  const manifests = content
    .manifests(repository)
    .map(({ bytes, digest, mediaType }) => ({ digest, mediaType, size: bytes.length, body: parse(bytes) }))
    .filter(({ body }) => body.subject?.digest === request.reference)
    .map(({ body, ...descriptor }) => ({
      ...descriptor,
      artifactType: body.artifactType ?? body.config?.mediaType,
      ...(body.annotations && { annotations: body.annotations }),
    }))
    .filter(({ artifactType }) => wanted === null || artifactType === wanted);
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  return contentAnswer(
    200,
    { 'Content-Type': mediaType, ...(wanted !== null && { 'OCI-Filters-Applied': 'artifactType' }) },
    bytesBlob(JSON.stringify({ schemaVersion: 2, mediaType, manifests })),
  );
}

interface ManifestBody {
  readonly artifactType?: string;
  readonly config?: { readonly mediaType?: string };
  readonly subject?: { readonly digest?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Tests also put manifests that are no JSON; those refer to nothing. */
function parse(bytes: Buffer): ManifestBody {
  try {
    return JSON.parse(bytes.toString('utf8')) as ManifestBody;
  } catch {
    return {};
  }
}
