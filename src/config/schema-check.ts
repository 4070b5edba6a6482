/**
 * Holds a tree against the schema, and reads the schema itself: which settings there are, and what a text from the
 * environment becomes. Wrong kinds, bad values and unknown keys become findings, all of them in one pass.
 */
import { z } from 'zod';
import type { Findings } from './findings.ts';
import { describeValue, formatPath, type Path } from './problem.ts';
import { configSchema, type ParsedFile } from './schema.ts';
import { nearestWord } from './suggestion.ts';

type Schema = z.core.$ZodType;

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

/** Every setting below `schema`, with `freeKeys` standing in for the keys of a section that takes any (`upstreams`). */
export function settingsOf(schema: Schema, freeKeys: readonly string[], above: Path = []): readonly Path[] {
  const bare = unwrap(schema);
  const keys =
    bare instanceof z.ZodObject ? Object.keys(bare.shape) : bare instanceof z.ZodRecord ? freeKeys : [];
  if (keys.length === 0 && !(bare instanceof z.ZodRecord)) return [above];
  return keys.flatMap(key => {
    const child = childOf(schema, key);
    return child === undefined ? [] : settingsOf(child, freeKeys, [...above, key]);
  });
}

/** What a text stands for where the setting isn't text: a list is split at commas. */
export function readText(schema: Schema, path: Path, text: string): unknown {
  const setting = path.reduce<Schema | undefined>(childOf, schema);
  const bare = setting === undefined ? undefined : unwrap(setting);
  if (bare instanceof z.ZodArray) return text.split(',').map(item => item.trim());
  if (bare instanceof z.ZodBoolean && (text === 'true' || text === 'false')) return text === 'true';
  if (bare instanceof z.ZodNumber && /^\d+$/.test(text)) return Number(text);
  return text;
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

/** The keys that the section at `path` takes; none for a single value, a list or a section with free keys. */
function keysAt(schema: Schema, path: Path): readonly string[] {
  const section = path.reduce<Schema | undefined>(childOf, schema);
  const bare = section === undefined ? undefined : unwrap(section);
  return bare instanceof z.ZodObject ? Object.keys(bare.shape) : [];
}

function childOf(schema: Schema | undefined, segment: string | number): Schema | undefined {
  const bare = schema === undefined ? undefined : unwrap(schema);
  if (bare instanceof z.ZodArray) return bare.element;
  if (bare instanceof z.ZodRecord) return bare.valueType;
  return bare instanceof z.ZodObject ? bare.shape[segment] : undefined;
}

/** Without defaults and preparations: the schema that says what a value is. */
function unwrap(schema: Schema): Schema {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault) return unwrap(schema.unwrap());
  if (schema instanceof z.ZodPipe)
    return unwrap(schema.in instanceof z.ZodTransform ? schema.out : schema.in);
  return schema;
}
