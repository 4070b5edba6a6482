/** Passwords from a pipe, and typed at a terminal. */
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { askPasswordTwice, readPipedPassword } from '../../../../src/cli/user/ask-password.ts';

class Terminal extends EventEmitter {
  readonly isTTY = true;
  readonly modes: boolean[] = [];
  readonly shown: string[] = [];

  setRawMode(mode: boolean): void {
    this.modes.push(mode);
  }

  setEncoding(): void {}
  resume(): void {}
  pause(): void {}

  /** Each text is what one read of the terminal gives. */
  async type(...texts: readonly string[]): Promise<string> {
    const asked = askPasswordTwice({ input: this, writeError: text => this.shown.push(text) });
    for (const text of texts) {
      await new Promise(resolve => setImmediate(resolve));
      this.emit('data', text);
    }
    return asked;
  }
}

test('one line end of a piped password is left off', async () => {
  expect(
    await readPipedPassword({ input: Readable.from([Buffer.from(' pass '), Buffer.from('word \n')]) }),
  ).toBe(' pass word ');
});

test('a password typed twice is not shown, and Backspace takes one character back', async () => {
  const terminal = new Terminal();
  expect(await terminal.type('pä', 'x\u007fss\r', 'päss\r')).toBe('päss');
  expect(terminal.shown).toEqual(['password: ', '\n', 'again: ', '\n']);
  expect(terminal.modes).toEqual([true, false, true, false]);
});

test('two that differ, Ctrl-C, and a missing terminal change nothing', async () => {
  await expect(new Terminal().type('a\r', 'b\r')).rejects.toThrow(
    'the two passwords differ, nothing was changed',
  );
  await expect(new Terminal().type('a', '\u0003')).rejects.toThrow('stopped, nothing was changed');
  const input = Object.assign(new Terminal(), { isTTY: false });
  await expect(askPasswordTwice({ input, writeError: () => {} })).rejects.toThrow('--password-stdin');
});
