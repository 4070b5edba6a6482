/** A password from standard input: piped, or typed twice at a terminal that does not show it. */
import { CommandError } from '../command-line.ts';

/** What is used of standard input where it is a terminal. */
export interface Terminal {
  readonly isTTY: boolean;
  setRawMode(mode: boolean): unknown;
  setEncoding(encoding: 'utf8'): unknown;
  resume(): unknown;
  pause(): unknown;
  on(event: 'data', listener: (text: string) => void): unknown;
  off(event: 'data', listener: (text: string) => void): unknown;
}

export interface PasswordInput {
  readonly input: Terminal;
  readonly writeError: (text: string) => void;
}

/** `--password-stdin`: everything but one line end. */
export async function readPipedPassword({
  input,
}: {
  readonly input: AsyncIterable<Buffer | string>;
}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

/** Errors: `CommandError` without a terminal, when the two differ, or after Ctrl-C. */
export async function askPasswordTwice(options: PasswordInput): Promise<string> {
  if (options.input.isTTY !== true)
    throw new CommandError('there is no terminal to type a password at: give it with --password-stdin');
  const first = await ask(options, 'password: ');
  const second = await ask(options, 'again: ');
  if (first === second) return first;
  throw new CommandError('the two passwords differ, nothing was changed');
}

function ask({ input, writeError }: PasswordInput, prompt: string): Promise<string> {
  writeError(prompt);
  input.setRawMode(true);
  input.setEncoding('utf8');
  input.resume();
  return new Promise((resolve, reject) => {
    let typed = '';
    const finish = (settle: () => void): void => {
      input.off('data', onData);
      input.setRawMode(false);
      input.pause();
      writeError('\n');
      settle();
    };
    const onData = (text: string): void => {
      for (const character of text) {
        const typing = type(typed, character);
        if (typing.ends === undefined) typed = typing.typed;
        else finish(typing.ends === 'line' ? () => resolve(typed) : () => reject(stopped()));
        if (typing.ends !== undefined) return;
      }
    };
    input.on('data', onData);
  });
}

type Typing = { readonly typed: string; readonly ends?: undefined } | { readonly ends: 'line' | 'stop' };

/** One key of a terminal in raw mode: Enter, Ctrl-C and Ctrl-D, Backspace, or a character. */
function type(typed: string, character: string): Typing {
  if (character === '\r' || character === '\n') return { ends: 'line' };
  if (character === '\u0003' || character === '\u0004') return { ends: 'stop' };
  const isErased = character === '\u007f' || character === '\b';
  return { typed: isErased ? [...typed].slice(0, -1).join('') : typed + character };
}

function stopped(): CommandError {
  return new CommandError('stopped, nothing was changed');
}
