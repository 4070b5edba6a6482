/** What a scrub is asked, and what it says of itself to `cistern scrub`, `stats` and the API: field names are public (docs/operation.md). */

export interface ScrubRequest {
  /** 0: as fast as the disk reads. Absent: `store.scrub.rate`. */
  readonly bytesPerSecond?: number | undefined;
}

export type ScrubProblem = 'damaged' | 'missing';

export interface ScrubFinding {
  readonly digest: string;
  readonly bytes: number;
  readonly owner: 'cached' | 'hosted';
  readonly problem: ScrubProblem;
  /**
   * `fetched`: it is here again, from an upstream. `restored`: so too, from memory. `set-aside`: the next pull fetches it. `kept`: it waits
   * for a push.
   */
  readonly result: 'fetched' | 'restored' | 'set-aside' | 'kept';
  /** Some that have it, by their canonical names. */
  readonly repositories: readonly string[];
  /** Why it was not fetched; null for any other result. */
  readonly reason: string | null;
}

/** A hosted file that is not what its name says, and waits for a push. */
export interface ScrubDamage {
  readonly digest: string;
  readonly problem: ScrubProblem;
  /** Some that have it: one of them is to be pushed again. */
  readonly repositories: readonly string[];
  readonly foundAt: string;
}

export interface ScrubReport {
  /** It has gone on where an earlier run was ended. */
  readonly resumed: boolean;
  /** Of this run alone. */
  readonly files: number;
  readonly bytes: number;
  /** Of this run alone; at most 1,000. */
  readonly findings: readonly ScrubFinding[];
  /** All that is damaged now. */
  readonly damaged: readonly ScrubDamage[];
}

export interface ScrubStatus {
  /** Null: none runs now. */
  readonly running: {
    readonly startedAt: string;
    readonly files: number;
    readonly bytes: number;
    /** As far as is known. */
    readonly heldBytes: number;
  } | null;
  /** When the last complete run ended; null: none has yet. */
  readonly endedAt: string | null;
  readonly damagedFiles: number;
  readonly damaged: readonly ScrubDamage[];
}
