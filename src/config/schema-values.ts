/**
 * The single values that the schema is made of: sizes, durations, words, texts, secrets. Each is a zod schema with a
 * message of our own. Units are case-sensitive and never guessed: `50G` could be GB or GiB, so it is refused.
 */
import { z } from 'zod';
import { bytesPerUnit, formatDuration, msPerUnit } from '../lib/format.ts';
import { refusal, ValueError } from './problem.ts';
import { formatSuggestion } from './suggestion.ts';

/** `50GiB`, `1.5GB`, `123` (bytes) to bytes. Errors: `ValueError`. */
export function parseSize(value: unknown): number {
  const isCount = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  const bytes = isCount ? value : parseWithUnit(value, bytesPerUnit, 1);
  if (bytes === undefined || !Number.isSafeInteger(bytes)) {
    throw refusal('a size such as 50GiB, 500MB or 123 (bytes)', value);
  }
  return bytes;
}

/** `20MiB/s` to bytes a second; 0: no bound. Errors: `ValueError`. */
export function parseRate(value: unknown): number {
  if (value === 0 || value === '0') return 0;
  const [, size] = typeof value === 'string' ? (/^(.+)\/s$/.exec(value) ?? []) : [];
  const bytes = size === undefined ? undefined : parseWithUnit(size, bytesPerUnit, undefined);
  if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes === 0)
    throw refusal('a rate such as 20MiB/s or 500KB/s (0: no bound)', value);
  return bytes;
}

/** `500ms`, `5s`, `5m`, `2h`, `7d` to milliseconds; a plain number only when it is 0. Errors: `ValueError`. */
export function parseDuration(value: unknown): number {
  const ms = value === 0 || value === '0' ? 0 : parseWithUnit(value, msPerUnit, undefined);
  if (ms === undefined || !Number.isSafeInteger(ms)) {
    throw refusal('a duration such as 500ms, 5s, 5m, 2h or 7d (0: none)', value);
  }
  return ms;
}

/** `90%` to 0.9; above 0 %, at most 100 %. Errors: `ValueError`. */
export function parsePercentage(value: unknown): number {
  const digits = typeof value === 'string' ? /^(\d+(?:\.\d+)?) ?%$/.exec(value)?.[1] : undefined;
  const share = Number(digits) / 100;
  if (digits === undefined || share <= 0 || share > 1) throw refusal('a percentage from 1% to 100%', value);
  return share;
}

/** A value as `parse` reads it. `parse` throws `ValueError`, which becomes an issue, so that one pass finds every bad value. */
export function parsed<T>(parse: (value: unknown) => T) {
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
  return parsed(value => {
    const ms = parseDuration(value);
    if (ms < shortest) throw refusal(`at least ${formatDuration(shortest)}`, value);
    if (ms > longest) throw refusal(`at most ${formatDuration(longest)}`, value);
    return ms;
  });
}

/** One of a few words; a number is written as it is. */
export function word<const Words extends readonly (string | number)[]>(...words: Words) {
  const choice = words.join(', ').replace(/, ([^,]*)$/, ' or $1');
  return parsed((value): Words[number] => {
    const isWord = typeof value === 'string' || typeof value === 'number';
    const found = words.find(candidate => isWord && String(candidate) === String(value));
    if (found !== undefined) return found;
    const suggestion = typeof value === 'string' ? formatSuggestion(value, words.map(String)) : '';
    throw new ValueError(`${refusal(choice, value).message}${suggestion}`);
  });
}

/** Text that isn't empty. */
export const text = parsed((value): string => {
  if (typeof value === 'string' && value !== '') return value;
  throw refusal(typeof value === 'number' ? 'text (put it in quotes)' : 'text', value);
});

/** As `text`, but no message repeats it. */
export const secret = parsed((value): string => {
  if (typeof value === 'string' && value !== '') return value;
  throw new ValueError('expected text (put it in quotes)');
});

/** A key of earlier versions. `why`: the sentence that names its successor. */
export function gone(why: string) {
  const check = z.unknown().superRefine((value, context) => {
    if (value === undefined) return;
    context.addIssue({ code: 'custom', message: `${why}; remove the key`, params: { blames: 'key' } });
  });
  return check.optional();
}

/** `bare` is the factor of a number without a unit; undefined: a unit is needed. */
function parseWithUnit(
  value: unknown,
  units: ReadonlyMap<string, number>,
  bare: number | undefined,
): number | undefined {
  if (typeof value !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?)(?: ?([A-Za-z]+))?$/.exec(value);
  const factor = match?.[2] === undefined ? bare : units.get(match[2]);
  return match === null || factor === undefined ? undefined : Math.round(Number(match[1]) * factor);
}
