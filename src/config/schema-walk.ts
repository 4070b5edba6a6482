/**
 * Reads the schema itself: which keys a section takes, which settings there are, and what a text from the environment
 * has to become. So help, suggestions and the environment can't disagree with what the file may hold.
 */
import { z } from 'zod';
import type { Path } from './path.ts';

type Schema = z.core.$ZodType;

/** The keys that the section at `path` takes; none for a single value, a list or a section with free keys. */
export function keysAt(schema: Schema, path: Path): readonly string[] {
  const section = path.reduce<Schema | undefined>(childOf, schema);
  const bare = section === undefined ? undefined : unwrap(section);
  return bare instanceof z.ZodObject ? Object.keys(bare.shape) : [];
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
