/** Says that pins are what leaves no room: one line, and another one only when something else is pinned. */
import type { Digest } from '../oci/digest.ts';
import type { Logger } from '../telemetry/logger.ts';

/** What `mayEvict` refuses for being pinned. */
export interface Pins {
  /** Of what is pinned and held. */
  readonly bytes: number;
  /** A blob has come to its place. */
  held(digest: Digest, size: number): void;
}

export class PinNotice {
  readonly #pins: Pins | undefined;
  readonly #logger: Logger;
  #toldBytes = 0;

  constructor(pins: Pins | undefined, logger: Logger) {
    this.#pins = pins;
    this.#logger = logger;
  }

  /** `leastBytes`: what there would be with what is wanted, were everything evicted that may be. Says no. */
  noRoom(leastBytes: number, limitBytes: number): false {
    const pinnedBytes = this.#pins?.bytes ?? 0;
    if (leastBytes - pinnedBytes > limitBytes || pinnedBytes === this.#toldBytes) return false;
    this.#toldBytes = pinnedBytes;
    this.#logger.warn('pinned blobs leave no room, what comes now is passed through', {
      pinnedBytes,
      limitBytes,
    });
    return false;
  }
}
