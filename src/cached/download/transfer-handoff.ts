/**
 * The transfer of a download that met a full store, with its first bytes: for one client, once. Nobody takes it: it is
 * ended. Whoever took it ends it alone; what becomes of the download does not touch it any more.
 */
import type { Chunk } from './resume.ts';

export interface Transfer {
  readonly chunks: AsyncGenerator<Chunk, void, void>;
  abort(): void;
}

export class TransferHandoff {
  readonly #abort: () => void;
  #transfer: Transfer | undefined;
  #isOffered = false;

  /** `abort` ends the connection. */
  constructor(abort: () => void) {
    this.#abort = abort;
  }

  /** Also when it has been taken since. */
  get isOffered(): boolean {
    return this.#isOffered;
  }

  offer(first: Chunk, rest: AsyncGenerator<Chunk, void, void>): void {
    this.#isOffered = true;
    const abort = () => {
      this.#abort();
      rest.return().catch(() => {}); // the front part may never have been started, and would not do it then
    };
    this.#transfer = { chunks: prepend(first, rest), abort };
  }

  take(): Transfer | undefined {
    const transfer = this.#transfer;
    this.#transfer = undefined;
    return transfer;
  }

  /** Ends it unless it was taken. */
  drop(): void {
    this.take()?.abort();
  }
}

async function* prepend(
  first: Chunk,
  rest: AsyncGenerator<Chunk, void, void>,
): AsyncGenerator<Chunk, void, void> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return();
  }
}
