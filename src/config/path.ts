/** The way from the top of a configuration to one value, and how problems print it. */

/** Keys of sections and positions in lists. */
export type Path = readonly (string | number)[];

/** `http.listen[1]`, `upstreams.docker.io.url`; empty for the whole file. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, segment) => {
    if (typeof segment === 'number') return `${text}[${segment}]`;
    return text === '' ? segment : `${text}.${segment}`;
  }, '');
}

export function isSection(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at `path` in a tree of plain values; undefined when there is none. */
export function valueAt(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, segment) => {
    if (Array.isArray(value)) return typeof segment === 'number' ? value[segment] : undefined;
    return isSection(value) && Object.hasOwn(value, segment) ? value[segment] : undefined;
  }, tree);
}
