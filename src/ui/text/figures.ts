/** Figures as the page shows them, over those of the command line. Pure functions; times of the day are local ones. */
import { formatBytes, formatSpan } from '../../lib/format.ts';

/** A figure in two sizes: the number large, its unit small. */
export interface Figure {
  readonly number: string;
  readonly unit: string;
}

/** `1.5 GiB`, `96.4 %`. */
export function splitFigure(text: string): Figure {
  const blank = text.lastIndexOf(' ');
  return blank === -1
    ? { number: text, unit: '' }
    : { number: text.slice(0, blank), unit: text.slice(blank + 1) };
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `1 image`, `3 images`. */
export function formatCounted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** `12 s left`; empty where the size or the speed isn't known. */
export function formatTimeLeft(doneBytes: number, sizeBytes: number | null, bytesPerSecond: number): string {
  if (sizeBytes === null || bytesPerSecond <= 0 || doneBytes >= sizeBytes) return '';
  return `${formatSpan((1000 * (sizeBytes - doneBytes)) / bytesPerSecond)} left`;
}

/** `2026-11-27 14:05`; `-` for null and for what is no time. */
export function formatMoment(iso: string | null): string {
  const time = new Date(iso ?? Number.NaN);
  if (Number.isNaN(time.getTime())) return '-';
  const two = (part: number) => String(part).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** `just now`, `5 min ago`, `never`. A clock that is a little behind the mirror's makes nothing future. */
export function formatLast(iso: string | null, nowMs: number): string {
  if (iso === null) return 'never';
  const ms = nowMs - Date.parse(iso);
  return ms < 10_000 ? 'just now' : `${formatSpan(ms)} ago`;
}

/** `in 5 min`, `now`. */
export function formatUntil(iso: string, nowMs: number): string {
  const ms = Date.parse(iso) - nowMs;
  return ms <= 0 ? 'now' : `in ${formatSpan(ms)}`;
}

/** A share of two amounts; null where there is nothing to share. */
export function shareOf(part: number, whole: number): number | null {
  return whole > 0 ? part / whole : null;
}

/** Messages of the mirror begin small and end without a stop, as log lines do. A name of a host or an image stays as it is. */
export function formatSentence(message: string): string {
  const text = message.replace(/^[a-z](?=[a-z]*\s)/, first => first.toUpperCase());
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
