/**
 * A YAML file as a tree of plain values in which every key and value can be found again by line and column.
 * Anchors, aliases and merge keys are fine; several documents, keys given twice and unknown tags are problems.
 * An empty file is an empty tree, and a key without a value counts as absent.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument } from 'yaml';
import { findFlaws, isMergeKey, startOf } from './document-flaws.ts';
import { formatPath, isSection, type Path } from './path.ts';
import type { Problem } from './problem.ts';

export interface Place {
  readonly line: number;
  readonly column: number;
}

export class ConfigDocument {
  /** The file as the user named it. */
  readonly origin: string;
  readonly problems: readonly Problem[];
  /** Undefined when the file is too broken for anybody to say what stands in it; then there are `problems`. */
  readonly tree: unknown;
  readonly #document: Document.Parsed;
  readonly #lines = new LineCounter();

  constructor(origin: string, text: string) {
    this.origin = origin;
    // prettyErrors would quote the source, and the source may hold passwords
    const options = {
      lineCounter: this.#lines,
      prettyErrors: false,
      merge: true,
      uniqueKeys: false,
    } as const;
    this.#document = parseDocument(text, options);
    const { errors, warnings } = this.#document;
    const isReadable = errors.every(({ code }) => code === 'MULTIPLE_DOCS');
    const flaws = isReadable ? findFlaws(this.#document, this.#lines) : [];
    const problems = [
      ...[...errors, ...warnings].map(error => this.#problem(error.pos[0], [], describeError(error))),
      ...flaws.map(flaw => this.#problem(flaw.offset, flaw.path, flaw.message)),
    ];
    if (isReadable && !flaws.some(flaw => flaw.isFatal)) {
      try {
        this.tree = withoutNull(this.#document.toJS()) ?? {};
      } catch (error) {
        if (!(error instanceof ReferenceError)) throw error;
        problems.push(this.#problem(0, [], 'too many aliases of aliases'));
      }
    }
    this.problems = problems.filter(
      (problem, index) => !problems.slice(0, index).some(earlier => isSamePlace(problem, earlier)),
    );
  }

  /**
   * Where the key or the value at `path` stands; through aliases: where their anchor stands. Undefined when the file
   * doesn't have it.
   */
  locate(path: Path, target: 'key' | 'value'): Place | undefined {
    let node: unknown = this.#document.contents;
    let key: unknown;
    for (const segment of path) {
      const holder = isAlias(node) ? node.resolve(this.#document) : node;
      if (isSeq(holder) && typeof segment === 'number') {
        [key, node] = [undefined, holder.items[segment]];
      } else {
        const pair = isMap(holder) ? this.#findPair(holder.items, String(segment)) : undefined;
        [key, node] = [pair?.key, pair?.value];
      }
      if (key === undefined && node === undefined) return undefined;
    }
    const hasValue = node !== undefined && node !== null && !(isScalar(node) && node.value === null);
    return this.#place(startOf(key !== undefined && (target === 'key' || !hasValue) ? key : node));
  }

  /** The last one wins, as in the tree; a merged section comes after all own keys. */
  #findPair(pairs: readonly Pair[], name: string): Pair | undefined {
    const own = pairs.findLast(({ key }) => isScalar(key) && String(key.value) === name);
    if (own !== undefined) return own;
    for (const { key, value } of pairs) {
      if (!isMergeKey(key)) continue;
      for (const part of isSeq(value) ? value.items : [value]) {
        const merged = isAlias(part) ? part.resolve(this.#document) : part;
        const found = isMap(merged) ? this.#findPair(merged.items, name) : undefined;
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  #problem(offset: number, path: Path, message: string): Problem {
    return { origin: this.origin, ...this.#place(offset), path: formatPath(path), message };
  }

  #place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

function describeError({ code, message }: { readonly code: string; readonly message: string }): string {
  if (code === 'MULTIPLE_DOCS') return 'expected one document, got a second one after ---';
  if (code === 'TAG_RESOLVE_FAILED') return 'unknown tag (a text that begins with ! needs quotes)';
  const hint = code === 'UNEXPECTED_TOKEN' || code === 'MISSING_CHAR' ? '; does a text need quotes?' : '';
  return `not valid YAML: ${message}${hint}`;
}

function isSamePlace(one: Problem, other: Problem): boolean {
  return one.line === other.line && one.column === other.column;
}

function withoutNull(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(item => (item === null ? null : withoutNull(item)));
  if (!isSection(value)) return value ?? undefined;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, withoutNull(child)]));
}
