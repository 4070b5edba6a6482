/** Columns for people. Sizes and ages are rounded: whoever calculates takes `--json`. */

/** The last column isn't padded. Undefined alignment: left. */
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
