/**
 * Which repositories have a record, how many bytes it and its lists take, and when each was last used: a table in memory, changed with
 * the files, so that a list of repositories or a sum of bytes costs no look at the disk. It is complete when `Records` has read the folders.
 */
import type { RepositoryVisibility } from './record-file.ts';

export interface FoundRecord {
  /** 0: there are only lists. */
  readonly recordBytes: number;
  readonly listBytes: number;
  readonly lastUseMs: number;
}

export interface UnusedRecord {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly lastUseMs: number;
}

interface Row {
  recordBytes: number;
  listBytes: number;
  /** Undefined: neither used in this process nor found in the folders yet. */
  lastUseMs: number | undefined;
  /** Known once the record was read. */
  visibility: RepositoryVisibility | undefined;
  isRead: boolean;
  /** It has a record, if only in memory yet. */
  isNamed: boolean;
}

export class RecordTable {
  readonly #rows = new Map<string, Row>();
  #bytes = 0;
  /** Names that `#sorted` lacks. */
  #added: string[] = [];
  #sorted: readonly string[] = [];

  /** Of all records and lists. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Of repositories with a record, sorted by code units. The array never changes: a later call may give another one. */
  names(): readonly string[] {
    if (this.#added.length > 0) {
      this.#sorted = [...this.#sorted, ...this.#added].sort(); // two sorted runs: one pass
      this.#added = [];
    }
    return this.#sorted;
  }

  /** What the folders say. What is known already is newer. */
  found(name: string, { recordBytes, listBytes, lastUseMs }: FoundRecord): void {
    const row = this.#rowOf(name);
    row.lastUseMs ??= lastUseMs;
    if (row.recordBytes === 0) this.setRecordBytes(name, recordBytes);
    if (row.listBytes === 0) this.addListBytes(name, listBytes);
  }

  /** The record's file was read or written. */
  setRecordBytes(name: string, bytes: number): void {
    if (bytes === 0 && !this.#rows.has(name)) return; // a made-up name
    const row = this.#rowOf(name);
    if (bytes > 0) this.#name(name, row);
    else if (row.recordBytes > 0) this.#remove(name, row);
    this.#bytes += bytes - row.recordBytes;
    row.recordBytes = bytes;
  }

  /** The record has an entry, which its file gets in a moment. */
  noteEntry(name: string): void {
    this.#name(name, this.#rowOf(name));
  }

  addListBytes(name: string, bytes: number): void {
    if (bytes === 0) return;
    const row = this.#rowOf(name);
    this.#bytes += bytes;
    row.listBytes += bytes;
  }

  setVisibility(name: string, visibility: RepositoryVisibility | undefined): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    row.visibility = visibility;
    row.isRead = true;
  }

  /** `unread`: the record says, and it was not read yet. */
  visibilityOf(name: string): RepositoryVisibility | undefined | 'unread' {
    const row = this.#rows.get(name);
    return row === undefined || !row.isRead ? 'unread' : row.visibility;
  }

  lastUseMs(name: string): number | undefined {
    return this.#rows.get(name)?.lastUseMs;
  }

  /** False: it has no files. */
  setLastUse(name: string, nowMs: number): boolean {
    const row = this.#rows.get(name);
    if (row === undefined) return false;
    row.lastUseMs = nowMs;
    return true;
  }

  /** Its files are gone. */
  forget(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.setRecordBytes(name, 0);
    if (row.isNamed) this.#remove(name, row);
    this.#bytes -= row.listBytes;
    this.#rows.delete(name);
  }

  /** Not used since `beforeMs`, the one used longest ago first. */
  unusedSince(beforeMs: number): UnusedRecord[] {
    const unused: UnusedRecord[] = [];
    for (const [name, { lastUseMs = Infinity }] of this.#rows)
      if (lastUseMs < beforeMs) unused.push({ name, lastUseMs });
    return unused.sort((a, b) => a.lastUseMs - b.lastUseMs);
  }

  #rowOf(name: string): Row {
    let row = this.#rows.get(name);
    if (row === undefined) {
      row = {
        recordBytes: 0,
        listBytes: 0,
        lastUseMs: undefined,
        visibility: undefined,
        isRead: false,
        isNamed: false,
      };
      this.#rows.set(name, row);
    }
    return row;
  }

  #name(name: string, row: Row): void {
    if (!row.isNamed) this.#added.push(name);
    row.isNamed = true;
  }

  #remove(name: string, row: Row): void {
    this.#sorted = this.names().filter(other => other !== name);
    row.isNamed = false;
  }
}
