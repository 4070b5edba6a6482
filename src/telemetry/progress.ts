/** How far long work is. The worker reports it as often as it likes; a listener returns at once and never throws. */
export interface Progress {
  /** So much of `total` is done. It may begin anew with another `unit` when the work goes into its next part. */
  readonly done: number;
  /** Absent: not known, or not yet. */
  readonly total?: number;
  /** `bytes`, or the plural of what is counted: `images`. */
  readonly unit: string;
  /** What is worked on now. */
  readonly note?: string;
}

export type OnProgress = (progress: Progress) => void;
