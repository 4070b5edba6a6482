/**
 * Sizes, durations, shares and tables as text. `formatSize` and `formatDuration` are exact, and the configuration reads
 * them back; all others round.
 */

/** Case-sensitive. The smallest unit comes first. */
export const bytesPerUnit: ReadonlyMap<string, number> = new Map([
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

/** The smallest unit comes first. */
export const msPerUnit: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** The shortest exact form: `50GiB`, `1KB`, `0B`. */
export function formatSize(bytes: number): string {
  return formatExactly(bytes, bytesPerUnit);
}

/** The shortest exact form: `1500ms`, `5m`, `7d`, `0`. */
export function formatDuration(ms: number): string {
  return ms === 0 ? '0' : formatExactly(ms, msPerUnit);
}

/** `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** `3 d`, `5 h`, `10 min`, `2 s`. */
export function formatSpan(ms: number): string {
  const spans = [
    [24 * 60 * 60_000, 'd'],
    [60 * 60_000, 'h'],
    [60_000, 'min'],
  ] as const;
  for (const [unitMs, unit] of spans) if (ms >= unitMs) return `${Math.floor(ms / unitMs)} ${unit}`;
  return `${Math.max(0, Math.floor(ms / 1000))} s`;
}

/** `12 min ago`; `-` for null. */
export function formatAgo(iso: string | null, nowMs: number): string {
  return iso === null ? '-' : `${formatSpan(nowMs - Date.parse(iso))} ago`;
}

/** `37.5 %`; `-` for null. */
export function formatShare(share: number | null): string {
  return share === null ? '-' : `${(100 * share).toFixed(1)} %`;
}

/** Lines of columns, two blanks apart. `right`: the columns aligned to the right. The last column isn't padded. */
export function formatTable(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows
    .map(row => {
      const cells = row.map((cell, index) =>
        right.includes(index) ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0),
      );
      return `${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}

function formatExactly(amount: number, units: ReadonlyMap<string, number>): string {
  const exact = [...units].filter(([, factor]) => amount % factor === 0 && amount >= factor);
  const texts = exact.map(([unit, factor]) => `${amount / factor}${unit}`);
  const [smallest = ''] = units.keys();
  return texts.reduce(
    (best, text) => (text.length < best.length ? text : best),
    texts[0] ?? `${amount}${smallest}`,
  );
}
