/**
 * Holds a tree against the schema: wrong kinds, bad values and unknown keys become findings, all of them in one pass.
 */
import type { z } from 'zod';
import type { Findings } from './findings.ts';
import { formatPath, type Path } from './path.ts';
import { configSchema, type ParsedFile } from './schema.ts';
import { keysAt, settingsOf } from './schema-walk.ts';
import { nearestWord } from './suggestion.ts';
import { describeValue } from './value-error.ts';

/** Undefined when there was anything to report. */
export function checkSchema(tree: unknown, findings: Findings): ParsedFile | undefined {
  const result = configSchema.safeParse(tree, { error: describeIssue });
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    const path = issue.path.map(segment => (typeof segment === 'number' ? segment : String(segment)));
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) findings.report([...path, key], describeUnknownKey(path, key), 'key');
    } else {
      const { blames } = issue.code === 'custom' ? (issue.params ?? {}) : {};
      findings.report(path, issue.message, blames === 'key' ? 'key' : 'value');
    }
  }
  return undefined;
}

function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${describeKind(String(issue.expected))}, got ${describeValue(issue.input)}`;
    case 'too_small':
      return issue.origin === 'array' ? 'expected at least one entry' : `expected at least ${issue.minimum}`;
    case 'too_big':
      return `expected at most ${issue.maximum}`;
    default:
      return undefined;
  }
}

function describeKind(expected: string): string {
  if (expected === 'boolean') return 'true or false';
  if (expected === 'array') return 'a list';
  if (expected === 'object' || expected === 'record') return 'a section with keys';
  return expected === 'int' || expected === 'number' ? 'a whole number' : expected;
}

function describeUnknownKey(path: Path, key: string): string {
  const siblings = keysAt(configSchema, path);
  const nearest = nearestWord(key, siblings);
  if (nearest !== undefined) return `unknown key, did you mean ${nearest}?`;
  const elsewhere = settingsOf(configSchema, ['HOST']).find(setting => setting.at(-1) === key);
  if (elsewhere !== undefined) return `unknown key here; did you mean ${formatPath(elsewhere)}?`;
  if (path.length === 0 && /[.:]/.test(key)) return `unknown key; did you mean upstreams.${key}?`;
  return `unknown key; known here: ${siblings.join(', ')}`;
}
