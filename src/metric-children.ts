/**
 * Bound label children of a metric, made once per label set. Label values come from closed tables and from the
 * configuration (see `http/exchange.ts`), so the map is bounded.
 */

export class BoundChildren<Child> {
  readonly #bind: (labels: readonly string[]) => Child;
  readonly #children = new Map<string, Child>();

  constructor(bind: (labels: readonly string[]) => Child) {
    this.#bind = bind;
  }

  of(...labels: readonly string[]): Child {
    const key = labels.join('\n');
    const known = this.#children.get(key);
    if (known !== undefined) return known;
    const child = this.#bind(labels);
    this.#children.set(key, child);
    return child;
  }
}
