/** What was typed into the search: how well a name fits, and which part of it is marked. Pure functions. */

/** The better fit first; names that fit alike stay in their order. Names that lack a word are left out. */
export function rankNames<Item>(
  items: readonly Item[],
  nameOf: (item: Item) => string,
  query: string,
): readonly Item[] {
  const words = wordsOf(query);
  if (words.length === 0) return items;
  return items
    .map((item, order) => ({ item, order, rank: rankOf(nameOf(item).toLowerCase(), words) }))
    .filter(({ rank }) => rank < Number.POSITIVE_INFINITY)
    .sort((a, b) => a.rank - b.rank || a.order - b.order)
    .map(({ item }) => item);
}

export interface TextPart {
  readonly text: string;
  readonly isFound: boolean;
}

/** The first place of each word; places that overlap are one. */
export function markFound(name: string, query: string): readonly TextPart[] {
  const lower = name.toLowerCase();
  const found = wordsOf(query)
    .map(word => ({ from: lower.indexOf(word), to: lower.indexOf(word) + word.length }))
    .filter(({ from }) => from !== -1)
    .sort((a, b) => a.from - b.from);
  const parts: TextPart[] = [];
  let at = 0;
  for (const { from, to } of found) {
    if (to <= at) continue;
    if (from > at) parts.push({ text: name.slice(at, from), isFound: false });
    parts.push({ text: name.slice(Math.max(at, from), to), isFound: true });
    at = to;
  }
  if (at < name.length) parts.push({ text: name.slice(at), isFound: false });
  return parts;
}

/** The longest part that the server can look for: it takes one text, the page sifts by the others. */
export function longestWord(query: string): string {
  return wordsOf(query).reduce((longest, word) => (word.length > longest.length ? word : longest), '');
}

function wordsOf(query: string): string[] {
  return query.toLowerCase().split(/\s+/).filter(Boolean);
}

/** 0: the last segment is the word; 1: it begins with it; 2: another segment does; 3: it is somewhere inside. The worst word counts. */
function rankOf(name: string, words: readonly string[]): number {
  return Math.max(
    ...words.map(word => {
      const last = name.slice(name.lastIndexOf('/') + 1);
      if (last === word) return 0;
      if (last.startsWith(word)) return 1;
      if (name.startsWith(word) || name.includes(`/${word}`)) return 2;
      return name.includes(word) ? 3 : Number.POSITIVE_INFINITY;
    }),
  );
}
