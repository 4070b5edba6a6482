/**
 * Gives the memory of large buffers back as soon as they are of no use. Left to the garbage collector, each 64 MB of them begin a mark of the
 * whole heap, whose work on other threads was a quarter of the CPU time of an upload.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';

/** Smaller ones are no matter, and come from a pool. */
const minBytes = 16 * 1024;

export class MemoryReturn {
  /** What is transferred to a closed port is gone: nothing receives it. */
  readonly #nowhere: MessagePort;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#nowhere = port1;
    port1.close();
    port2.close();
  }

  /** Bytes that nothing reads any more: a buffer that is alone in its memory is empty afterwards. */
  giveBack(buffers: readonly Buffer[]): void {
    const alone = new Set<ArrayBuffer>();
    for (const { buffer, length } of buffers)
      if (length >= minBytes && buffer.byteLength === length && buffer instanceof ArrayBuffer)
        alone.add(buffer);
    if (alone.size > 0) this.#nowhere.postMessage(undefined, [...alone]);
  }
}
