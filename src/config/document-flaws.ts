/**
 * What YAML itself allows and a configuration doesn't: a key given twice, a key that isn't a word, an alias without
 * its anchor, an alias inside of what it stands for. Each with the node to blame and the path to it.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair } from 'yaml';
import type { Path } from './path.ts';

export interface Flaw {
  /** Offset in the file, in characters. */
  readonly offset: number;
  readonly path: Path;
  readonly message: string;
  /** The tree can't be built. */
  readonly isFatal: boolean;
}

/** In the order of the file. */
export function findFlaws(document: Document.Parsed, lines: LineCounter): readonly Flaw[] {
  const flaws: Flaw[] = [];

  function visitNode(node: unknown, path: Path, above: readonly unknown[]): void {
    if (isAlias(node)) visitAlias(node, path, above);
    if (isMap(node)) visitPairs(node.items, path, [...above, node]);
    if (isSeq(node))
      for (const [index, item] of node.items.entries()) visitNode(item, [...path, index], [...above, node]);
  }

  function visitAlias(alias: Node, path: Path, above: readonly unknown[]): void {
    const target = isAlias(alias) ? alias.resolve(document) : undefined;
    if (target !== undefined && !above.includes(target)) return;
    // the name isn't repeated: a password that begins with * ends up here
    const message =
      target === undefined
        ? 'no anchor of that name before this alias (a text that begins with * needs quotes)'
        : 'an alias inside of what it stands for';
    flaws.push({ offset: startOf(alias), path, message, isFatal: true });
  }

  function visitPairs(pairs: readonly Pair[], path: Path, above: readonly unknown[]): void {
    const first = new Map<string, unknown>();
    for (const { key, value } of pairs) {
      if (!isScalar(key) || key.value === null) {
        const message = 'expected a plain word as key (a text that begins with { or [ needs quotes)';
        flaws.push({ offset: startOf(key), path, message, isFatal: true });
        continue;
      }
      if (isMergeKey(key)) {
        if (!isMergeable(value)) {
          flaws.push({ offset: startOf(value), path, message: 'expected sections after <<', isFatal: true });
        }
        visitNode(value, path, above);
        continue;
      }
      const name = String(key.value);
      const earlier = first.get(name);
      if (earlier === undefined) first.set(name, key);
      else {
        const message = `given twice; first on line ${lines.linePos(startOf(earlier)).line}`;
        flaws.push({ offset: startOf(key), path: [...path, name], message, isFatal: false });
      }
      visitNode(value, [...path, name], above);
    }
  }

  function isMergeable(value: unknown): boolean {
    const parts = isSeq(value) ? value.items : [value];
    return parts.every(part => isMap(isAlias(part) ? part.resolve(document) : part));
  }

  visitNode(document.contents, [], []);
  return flaws;
}

/** A plain `<<`, which the parser turns into a symbol; a quoted one is a key like any other. */
export function isMergeKey(key: unknown): boolean {
  return isScalar(key) && typeof key.value === 'symbol';
}

/** Offset at which a node begins. */
export function startOf(node: unknown): number {
  const range = isScalar(node) || isAlias(node) || isMap(node) || isSeq(node) ? node.range : undefined;
  return range?.[0] ?? 0;
}
