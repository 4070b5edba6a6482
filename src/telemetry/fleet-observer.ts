/** What a node reports of its fleet; docs/metrics.md has the metrics that it becomes. No event does I/O, and none may throw. */

/** What came of a question to another node. `refused`: it didn't take us for one of its fleet. */
export type PeerResult = 'given' | 'missing' | 'refused' | 'unreachable';

export interface FleetObserver {
  peerAnswered(kind: 'blob' | 'manifest', result: PeerResult): void;
  /** Body bytes of blobs from another node; `upstream`: whose blob it is. */
  peerBytes(upstream: string, bytes: number): void;
  peerServed(bytes: number): void;
  /** A request came without a valid signature of this fleet. */
  unsignedRefused(): void;
  /** A node gave something else than it was asked for. */
  peerWrong(): void;
  leaseLost(): void;
}
