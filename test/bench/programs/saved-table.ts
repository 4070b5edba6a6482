/** A table of the bench as it is kept in .lab/bench/results until docs/performance.md is written. */
export interface SavedTable {
  readonly title: string;
  /** Cores, processor, Node and the load while it ran. */
  readonly machine: string;
  /** ISO 8601. */
  readonly at: string;
  /** One round: no figures. */
  readonly isQuick: boolean;
  /** Its lines, and the notes below it. */
  readonly text: readonly string[];
  /** By row and column. */
  readonly medians: Readonly<Record<string, Readonly<Record<string, number>>>>;
}
