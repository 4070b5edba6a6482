/**
 * What a PromQL expression asks for: its metrics with the labels they are matched by, and the labels that it groups by.
 * Reads what dashboards and alerts here are written in; whether an expression is valid is Prometheus' to say.
 */
export interface MetricUse {
  readonly name: string;
  /** Label to the text that it is matched with. */
  readonly matchers: ReadonlyMap<string, string>;
}

export interface ExpressionUses {
  readonly metrics: readonly MetricUse[];
  /** Of `by`, `without`, `on`, `ignoring` and `group_…`. */
  readonly groupings: readonly string[];
}

const words = /"(?:\\.|[^"\\])*"|\[[^\]]*\]|\d[\w.]*|[A-Za-z_:][\w:]*|=~|!~|!=|\S/g;
const groupingWords = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
const operatorWords = new Set(['and', 'or', 'unless', 'offset', 'bool', 'inf', 'nan']);
const isName = (word: string | undefined): word is string => word !== undefined && /^[A-Za-z_:]/.test(word);

export function readExpression(expression: string): ExpressionUses {
  const tokens: readonly string[] = expression.match(words) ?? [];
  const metrics: MetricUse[] = [];
  const groupings: string[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const word = tokens[at];
    if (!isName(word) || operatorWords.has(word)) continue;
    if (groupingWords.has(word)) {
      const end = tokens.indexOf(')', at);
      groupings.push(...tokens.slice(at + 1, end).filter(isName));
      at = end;
    } else if (tokens[at + 1] === '{') {
      const end = tokens.indexOf('}', at);
      metrics.push({ name: word, matchers: readMatchers(tokens.slice(at + 2, end)) });
      at = end;
    } else if (tokens[at + 1] !== '(' && !groupingWords.has(tokens[at + 1] ?? '')) {
      metrics.push({ name: word, matchers: new Map() });
    }
  }
  return { metrics, groupings };
}

/** `label`, operator, quoted text, and a comma between two of them. */
function readMatchers(tokens: readonly string[]): ReadonlyMap<string, string> {
  const matchers = new Map<string, string>();
  for (let at = 0; at < tokens.length; at += 4)
    matchers.set(tokens[at] ?? '', (tokens[at + 2] ?? '').slice(1, -1));
  return matchers;
}
