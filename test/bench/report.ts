/**
 * What the benches print and keep for docs/performance.md: the machine on one line, then an aligned table. A figure is the median of its
 * rounds with the lowest and highest in brackets. Nothing here judges a figure: machines and their load differ.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { SavedTable } from './programs/saved-table.ts';

const resultsFolder = fileURLToPath(new URL('../../.lab/bench/results/', import.meta.url));

/** `npm run bench -- --quick`: one round, to see that everything works. Its figures are no figures. */
export const isQuick = process.env['BENCH_QUICK'] === '1';

export function roundsOf(rounds: number): number {
  return isQuick ? 1 : rounds;
}

/** Figures of one row and column, one per round. */
export class Samples {
  readonly #values: number[] = [];

  add(value: number): void {
    this.#values.push(value);
  }

  /** NaN when there is none. */
  get median(): number {
    const sorted = this.#sorted();
    const middle = sorted.length / 2;
    const lower = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
    const upper = sorted[Math.floor(middle)] ?? Number.NaN;
    return (lower + upper) / 2;
  }

  /** `median [lowest … highest]`; the median alone when all rounds agree. */
  format(digits: number): string {
    const sorted = this.#sorted();
    if (sorted.length === 0) return '-';
    const [low, high] = [sorted[0] ?? 0, sorted.at(-1) ?? 0].map(value => value.toFixed(digits));
    const median = this.median.toFixed(digits);
    return low === high ? median : `${median} [${low} … ${high}]`;
  }

  #sorted(): number[] {
    return this.#values.toSorted((a, b) => a - b);
  }
}

/** Rows by name, columns by name; cells are made when they are first asked for. */
export class Table {
  readonly #title: string;
  readonly #digits: Readonly<Record<string, number>>;
  readonly #rows = new Map<string, Map<string, Samples>>();
  readonly #notes: string[] = [];

  /** `columns`: the heading of each and how many digits it shows after the point. */
  constructor(title: string, columns: Readonly<Record<string, number>>) {
    this.#title = title;
    this.#digits = columns;
  }

  /** Errors: a column that the table doesn't have. */
  add(row: string, figures: Readonly<Record<string, number>>): void {
    const cells = this.#rows.get(row) ?? new Map<string, Samples>();
    this.#rows.set(row, cells);
    for (const [column, value] of Object.entries(figures)) {
      if (!(column in this.#digits)) throw new Error(`expected a column of the table, got ${column}`);
      const samples = cells.get(column) ?? new Samples();
      cells.set(column, samples);
      samples.add(value);
    }
  }

  /** A line below the table, such as which peer could not be had. */
  note(text: string): void {
    if (!this.#notes.includes(text)) this.#notes.push(text);
  }

  /** Prints it, and keeps it for docs/performance.md. */
  print(): void {
    const columns = Object.keys(this.#digits);
    const lines = [['', ...columns]];
    for (const [name, cells] of this.#rows) {
      lines.push([
        name,
        ...columns.map(column => cells.get(column)?.format(this.#digits[column] ?? 0) ?? '-'),
      ]);
    }
    const text = [...align(lines), ...this.#notes];
    process.stdout.write(`\n${this.#title}\n${machine()}\n${text.join('\n')}\n`);
    this.#save(text);
  }

  #save(text: readonly string[]): void {
    const medians = Object.fromEntries(
      [...this.#rows].map(([row, cells]) => [
        row,
        Object.fromEntries([...cells].map(([column, samples]) => [column, samples.median])),
      ]),
    );
    const saved: SavedTable = {
      title: this.#title,
      machine: machine(),
      at: new Date().toISOString(),
      isQuick,
      text,
      medians,
    };
    mkdirSync(resultsFolder, { recursive: true });
    const name = this.#title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
    writeFileSync(`${resultsFolder}${name}.json`, JSON.stringify(saved));
  }
}

function align(lines: readonly (readonly string[])[]): string[] {
  const widths = (lines[0] ?? []).map((_, at) => Math.max(...lines.map(line => line[at]?.length ?? 0)));
  return lines.map(line =>
    line
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

function machine(): string {
  const { length } = cpus();
  const load = loadavg().map(value => value.toFixed(1));
  return `${length} cores ${cpus()[0]?.model.trim()}, Node ${process.version}, load ${load.join(' ')}`;
}
