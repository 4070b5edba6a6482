/**
 * The scopes of a token (the distribution project's token specification): `repository:NAME:pull,push`, where NAME may have a port, and
 * `registry:catalog:*`. A scope only narrows what rules allow.
 */

export interface Scope {
  readonly type: 'repository' | 'registry';
  /** As the client calls it. */
  readonly name: string;
  readonly actions: readonly string[];
}

/** A token goes into a header, whose size is limited everywhere; names of repositories are ASCII, so a character is a byte. */
const maxScopes = 24;
const maxCharacters = 4096;

/**
 * Several in one text, several texts, or both. What can't be parsed or is of another type grants nothing and is left out, and so are
 * those above the limits. A request without the scope that it needs is told which one that is.
 */
export function parseScopes(texts: readonly string[]): readonly Scope[] {
  const scopes: Scope[] = [];
  let characters = 0;
  for (const word of texts.flatMap(text => text.split(/\s+/))) {
    const [, type, name, actions = ''] =
      /^(repository|registry)(?:\([a-z0-9]*\))?:([\w.:[\]/-]+):([\w*,-]*)$/.exec(word) ?? [];
    characters += word.length;
    if (name === undefined || actions === '') continue;
    if (scopes.length === maxScopes || characters > maxCharacters) break;
    const kind = type === 'registry' ? 'registry' : 'repository';
    scopes.push({ type: kind, name, actions: [...new Set(actions.split(',').filter(Boolean))] });
  }
  return scopes;
}

export function formatScope({ type, name, actions }: Scope): string {
  return `${type}:${name}:${actions.join(',')}`;
}

export function doesInclude(scopes: readonly Scope[], wanted: Scope): boolean {
  return wanted.actions.every(action =>
    scopes.some(
      scope =>
        scope.type === wanted.type &&
        scope.name === wanted.name &&
        (scope.actions.includes(action) || scope.actions.includes('*')),
    ),
  );
}
