/** What one ingest is made from: its files, its journal's facts, and what happens at its end. */
import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import type { Observer } from '../../telemetry/observer.ts';

export interface IngestOptions {
  readonly digest: Digest;
  /** For the operator who reads the journal: `docker.io/library/alpine`. */
  readonly source: string;
  readonly partPath: string;
  readonly journalPath: string;
  tempPath(): string;
  readonly bootId: string;
  readonly observer: Observer;
  /** fsync, rename to the blob's place, fsync of the folder, journal removed. Errors: StoreError. */
  commit(handle: FileHandle): Promise<void>;
  /** Nothing is hashed before `hashFront`: a range of a partial must not read all that lies before it. */
  readonly hashesLater?: boolean;
  /** Called with the number of followers each time it changes. */
  onFollowers(count: number): void;
}
