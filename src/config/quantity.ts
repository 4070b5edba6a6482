/**
 * Sizes, durations and percentages as people write them, and back. Units are case-sensitive and never guessed:
 * `50G` could be GB or GiB, so it is refused.
 */
import { refusal } from './value-error.ts';

const bytesPerUnit: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['KB', 1e3],
  ['kB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['TB', 1e12],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
]);

const msPerUnit: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** `50GiB`, `1.5GB`, `123` (bytes) to bytes. Errors: `ValueError`. */
export function parseSize(value: unknown): number {
  const expected = 'a size such as 50GiB, 500MB or 123 (bytes)';
  const bytes = isCount(value) ? value : parseWithUnit(value, bytesPerUnit, 1);
  if (bytes === undefined || !Number.isSafeInteger(bytes)) throw refusal(expected, value);
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
  if (digits === undefined || share <= 0 || share > 1) {
    throw refusal('a percentage from 1% to 100%', value);
  }
  return share;
}

/** The shortest exact form that `parseSize` reads back. */
export function formatSize(bytes: number): string {
  return formatWithUnit(bytes, bytesPerUnit);
}

/** The shortest exact form that `parseDuration` reads back. */
export function formatDuration(ms: number): string {
  return ms === 0 ? '0' : formatWithUnit(ms, msPerUnit);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
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

function formatWithUnit(amount: number, units: ReadonlyMap<string, number>): string {
  const exact = [...units].filter(([, factor]) => amount % factor === 0 && amount >= factor);
  const texts = exact.map(([unit, factor]) => `${amount / factor}${unit}`);
  const [smallest = ''] = units.keys();
  return texts.reduce(
    (best, text) => (text.length < best.length ? text : best),
    texts[0] ?? `${amount}${smallest}`,
  );
}
