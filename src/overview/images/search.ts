/**
 * What is typed into the search: a part of a repository's name, in any case, and after a colon the beginning of a tag. `alpine:3.` finds
 * the tags `3.19` and `3.20` of every repository with `alpine` in its name.
 */

export interface Search {
  /** `name`: canonical. */
  matchesRepository(name: string): boolean;
  matchesTag(tag: string): boolean;
  /** Images without a tag match too. */
  readonly isForAll: boolean;
}

/** Undefined and an empty text find everything. */
export function parseSearch(text: string | undefined): Search {
  const typed = (text ?? '').trim().toLowerCase();
  const colon = typed.indexOf(':', typed.lastIndexOf('/') + 1);
  // `registry.lan:5000` is a host as long as nothing says that it isn't.
  const [part, tagPart] = colon === -1 ? [typed, ''] : [typed.slice(0, colon), typed.slice(colon + 1)];
  return {
    matchesRepository: name => name.includes(part) || (colon !== -1 && name.includes(typed)),
    matchesTag: tag => tagPart === '' || tag.toLowerCase().startsWith(tagPart),
    isForAll: tagPart === '',
  };
}
