/** What capacity tells of the store: for metrics, the start line and whoever asks. A snapshot. */

/** In bytes. `heldBytes`: blobs, manifests and partials; `freeBytes` of the disk, when it could be asked. */
export interface Usage {
  readonly heldBytes: number;
  /** Of it, partials that nobody fills. */
  readonly partialBytes: number;
  readonly reservedBytes: number;
  readonly limitBytes: number;
  /** `max_size`, or `min_free: the disk has only …`. */
  readonly limitReason: string;
  readonly freeBytes: number | undefined;
  /** Evictable blobs. */
  readonly blobs: number;
  /** False: the scan still runs, `heldBytes` and `limitBytes` are not the whole truth. */
  readonly known: boolean;
}
