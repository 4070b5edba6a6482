/**
 * A terminal's second screen, redrawn in place, and the keys that end it. The first screen is as it was afterwards: with its text, its
 * cursor and its keyboard.
 */

/** Standard input and output, in most cases. */
export interface KeyboardInput {
  readonly isTTY?: boolean;
  setRawMode?(isRaw: boolean): unknown;
  on(event: 'data', listener: (keys: Buffer) => void): unknown;
  off(event: 'data', listener: (keys: Buffer) => void): unknown;
  pause(): unknown;
}

export interface ScreenOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const home = '\u001b[H';
const clearLine = '\u001b[K';
const clearBelow = '\u001b[J';
/** q, Q, Ctrl-C, Ctrl-D, Escape alone. */
const endKeys: ReadonlySet<string> = new Set(['q', 'Q', '\u0003', '\u0004', '\u001b']);
const defaultSize = { columns: 80, rows: 24 };

export class Screen {
  readonly #input: KeyboardInput;
  readonly #output: ScreenOutput;
  readonly #onEnd: () => void;
  #isClosed = false;

  /** `onEnd`: the user has asked for the end. */
  constructor(input: KeyboardInput, output: ScreenOutput, onEnd: () => void) {
    this.#input = input;
    this.#output = output;
    this.#onEnd = onEnd;
    output.write(enter);
    if (input.isTTY === true) {
      input.setRawMode?.(true);
      input.on('data', this.#onKeys);
    }
  }

  /** In place of what is there. What doesn't fit is cut at the edges. */
  draw(text: string): void {
    const { columns, rows } = { ...defaultSize, ...sizeOf(this.#output) };
    const lines = text.trimEnd().split('\n').slice(0, rows);
    const drawn = lines.map(line => `${line.slice(0, columns)}${clearLine}`).join('\r\n');
    this.#output.write(`${home}${drawn}${clearBelow}`);
  }

  /** Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#input.isTTY === true) {
      this.#input.off('data', this.#onKeys);
      this.#input.setRawMode?.(false);
      this.#input.pause();
    }
    this.#output.write(leave);
  }

  readonly #onKeys = (keys: Buffer): void => {
    if (endKeys.has(keys.toString('latin1'))) this.#onEnd();
  };
}

/** A pseudo-terminal without a size says 0. */
function sizeOf({ columns = 0, rows = 0 }: ScreenOutput): { columns?: number; rows?: number } {
  return { ...(columns > 0 && { columns }), ...(rows > 0 && { rows }) };
}
