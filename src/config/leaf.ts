/**
 * The kinds of single values that the schema is made of, each a zod schema with a message of our own. What a parser
 * refuses becomes an issue, so that one pass over a file finds every bad value.
 */
import { z } from 'zod';
import { formatDuration, parseDuration } from './quantity.ts';
import { formatSuggestion } from './suggestion.ts';
import { refusal, ValueError } from './value-error.ts';

/** A value as `parse` reads it. `parse` throws `ValueError`. */
export function leaf<T>(parse: (value: unknown) => T) {
  return z.unknown().transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      context.issues.push({ code: 'custom', message: error.message, input: value });
      return z.NEVER;
    }
  });
}

/** `longest` also keeps timers below the 24 days at which they overflow and fire at once. */
export function duration(bounds: { readonly shortest?: number; readonly longest?: number } = {}) {
  const { shortest = 0, longest = Number.MAX_SAFE_INTEGER } = bounds;
  return leaf(value => {
    const ms = parseDuration(value);
    if (ms < shortest) throw refusal(`at least ${formatDuration(shortest)}`, value);
    if (ms > longest) throw refusal(`at most ${formatDuration(longest)}`, value);
    return ms;
  });
}

/** One of a few words; a number is written as it is. */
export function word<const Words extends readonly (string | number)[]>(...words: Words) {
  const choice = words.join(', ').replace(/, ([^,]*)$/, ' or $1');
  return leaf((value): Words[number] => {
    const isWord = typeof value === 'string' || typeof value === 'number';
    const found = words.find(candidate => isWord && String(candidate) === String(value));
    if (found !== undefined) return found;
    const suggestion = typeof value === 'string' ? formatSuggestion(value, words.map(String)) : '';
    throw new ValueError(`${refusal(choice, value).message}${suggestion}`);
  });
}

/** Text that isn't empty. */
export const text = leaf((value): string => {
  if (typeof value === 'string' && value !== '') return value;
  throw refusal(typeof value === 'number' ? 'text (put it in quotes)' : 'text', value);
});

/** As `text`, but no message repeats it. */
export const secret = leaf((value): string => {
  if (typeof value === 'string' && value !== '') return value;
  throw new ValueError('expected text (put it in quotes)');
});

/** A key whose feature comes in a later version: absent or `harmless` (the feature is off), nothing else. */
export function later(feature: string, harmless: (value: unknown) => boolean = () => false) {
  const check = z.unknown().superRefine((value, context) => {
    if (value === undefined || harmless(value)) return;
    context.addIssue({ code: 'custom', message: laterSentence(feature), params: { blames: 'key' } });
  });
  return check.optional();
}

/** As `later`, for a section with keys. */
export function laterSection(feature: string, keys: readonly string[]) {
  const shape = Object.fromEntries(keys.map(key => [key, later(feature)]));
  const section = z.strictObject(shape, {
    error: issue => (issue.code === 'invalid_type' ? laterSentence(feature) : undefined),
  });
  return section.optional();
}

function laterSentence(feature: string): string {
  return `this version has no ${feature} yet; remove the key`;
}
