/** What one download is made from: whose blob, from where, under which rules, into what. */
import type { Digest } from '../../oci/digest.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Observer } from '../../telemetry/observer.ts';
import type { TransferPolicy } from './resume.ts';
import type { ByteReservation } from './room.ts';
import type { SourceList } from './source-list.ts';

export interface DownloadOptions {
  readonly digest: Digest;
  /** From a descriptor that the repository's manifests name; a source of another length is not read. */
  readonly expectedSize: number | undefined;
  readonly sources: SourceList;
  readonly policy: TransferPolicy;
  /** `never`: the transfer ends with its last client; the partial is kept. */
  readonly finish: 'always' | 'never';
  readonly observer: Observer;
  readonly logger: Logger;
  /** Aborted at shutdown, after the drain: the partial is kept. */
  readonly signal: AbortSignal;
  now(): number;
  isHeld(): Promise<boolean>;
  reserve(bytes: number): Promise<ByteReservation | undefined>;
  openIngest(onFollowers: (count: number) => void): Promise<Ingest>;
  onMismatch(): void;
}
