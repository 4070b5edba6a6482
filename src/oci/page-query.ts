/**
 * The query of the next page of a list, as a registry's `Link` names it. It is the registry's own: kept character by character, under
 * whatever names, and only put behind our own path, so that a `Link` leads to no other host and no other endpoint.
 */
import { parseNextLink } from './header-fields.ts';

/** A client's request line has to hold it too. */
const maxLength = 4096;

/**
 * The query of the next page, without `?`. Undefined: there is none, or it leads back to the page it came with.
 * Errors: RangeError for one that is too long to be handed on.
 */
export function nextPageQuery(link: string | undefined, page: URL): string | undefined {
  const target = parseNextLink(link);
  if (target === undefined || !URL.canParse(target, page.href)) return undefined;
  const { search } = new URL(target, page);
  if (search.length > maxLength)
    throw new RangeError(`the link to the next page is longer than ${maxLength} characters`);
  return search === page.search ? undefined : search.slice(1) || undefined;
}

/** A query without the fields of these names; the others stay as they were written. */
export function withoutFields(query: string, names: readonly string[]): string {
  return query
    .split('&')
    .filter(field => field !== '' && !names.includes(nameOf(field)))
    .join('&');
}

/** `path` may have a query already. */
export function appendQuery(path: string, query: string): string {
  if (query === '') return path;
  return `${path}${path.includes('?') ? '&' : '?'}${query}`;
}

function nameOf(field: string): string {
  const [name = ''] = new URLSearchParams(field).keys();
  return name;
}
