/** How far a spool has been sent, in a file of one line beside its segments. Damaged or missing: all that is kept is sent again. */
import { constants } from 'node:fs';
import { join } from 'node:path';
import {
  formatChecksummedLine,
  isOdd,
  openRegular,
  parseChecksummedLine,
  readRegular,
} from '../disk-files.ts';

export class Position {
  readonly #path: string;
  /** The number of the next entry to be sent. */
  next = 0;
  /** Above the last number that was ever sent: `next` is below it after a rewind. */
  sentBelow = 0;

  constructor(folder: string) {
    this.#path = join(folder, 'position');
  }

  /** Errors: system errors. */
  async load(): Promise<void> {
    const text = await readRegular(this.#path).catch(error => {
      if (!isOdd(error)) throw error;
      return undefined; // as good as damaged
    });
    const line = parseChecksummedLine(text?.trimEnd() ?? '');
    if (typeof line !== 'object' || line === null || !('next' in line && 'sentBelow' in line)) return;
    this.next = Number(line.next) || 0;
    this.sentBelow = Number(line.sentBelow) || 0;
  }

  /** In place: a write of so few bytes within one block isn't torn, and the line's length never changes. Errors: system errors. */
  async save(): Promise<void> {
    const padded = (number: number) => String(number).padStart(16, '0');
    const line = formatChecksummedLine({ next: padded(this.next), sentBelow: padded(this.sentBelow) });
    const handle = await openRegular(this.#path, constants.O_WRONLY | constants.O_CREAT);
    await handle.write(line, 0).finally(() => handle.close());
  }
}
