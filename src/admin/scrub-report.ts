/** What `cistern scrub` asks for, and what it and `stats` say of it. Field names are public (docs/operation.md). */

export interface ScrubRequest {
  /** 0: as fast as the disk reads. Absent: `store.scrub.rate`. */
  readonly bytesPerSecond?: number;
}

export interface ScrubReport {
  /** It has gone on where an earlier run was ended. */
  readonly resumed: boolean;
  /** Of this run alone. */
  readonly files: number;
  readonly bytes: number;
  /** Of this run alone; at most 1,000. */
  readonly findings: readonly ScrubFinding[];
  /** All hosted files that are damaged now. */
  readonly damaged: readonly ScrubDamage[];
}

export interface ScrubFinding {
  readonly digest: string;
  readonly bytes: number;
  readonly owner: 'cached' | 'hosted';
  readonly problem: 'damaged' | 'missing';
  /** Here again from an upstream (`fetched`) or from memory; `set-aside`: the next pull fetches it; `kept`: it waits for a push. */
  readonly result: 'fetched' | 'restored' | 'set-aside' | 'kept';
  readonly repositories: readonly string[];
  /** Why it was not fetched. */
  readonly reason: string | null;
}

export interface ScrubDamage {
  readonly digest: string;
  readonly problem: 'damaged' | 'missing';
  /** One of them is to be pushed again. */
  readonly repositories: readonly string[];
  readonly foundAt: string;
}

/** Of the scrub that runs by itself or was asked for. */
export interface ScrubStatus {
  readonly running: {
    readonly startedAt: string;
    readonly files: number;
    readonly bytes: number;
    readonly heldBytes: number;
  } | null;
  /** When the last complete run ended. */
  readonly endedAt: string | null;
  /** Hosted files that wait for a push. */
  readonly damagedFiles: number;
  /** Only for those on this machine. */
  readonly damaged?: readonly ScrubDamage[];
}
