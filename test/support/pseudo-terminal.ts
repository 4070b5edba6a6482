/** A command on a terminal of its own (`script`): what it draws, and keys for it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { onTestFinished } from 'vitest';

export interface TerminalOptions {
  readonly columns?: number;
  readonly rows?: number;
}

export class PseudoTerminal {
  readonly #child: ChildProcess;
  /** Resolves with the exit code. */
  readonly ended: Promise<number>;
  /** All that was drawn so far, escapes included. */
  drawn = '';

  /** `command`: for a shell. Ended after the test. */
  constructor(command: string, { columns = 120, rows = 40 }: TerminalOptions = {}) {
    const sized = `stty cols ${columns} rows ${rows}; ${command}`;
    this.#child = spawn('script', ['-qec', sized, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.drawn += text;
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', code => resolve(code ?? -1));
    });
    onTestFinished(async () => {
      this.#child.kill('SIGTERM');
      await this.ended;
    });
  }

  /** Without what moves and colours. */
  get text(): string {
    return withoutEscapes(this.drawn);
  }

  press(keys: string): void {
    this.#child.stdin?.write(keys);
  }
}

const escapes = new RegExp(`${String.fromCharCode(27)}(?:[78]|\\[[0-9;?]*[A-Za-z])`, 'g');

export function withoutEscapes(text: string): string {
  return text.replaceAll(escapes, '').replaceAll('\r', '');
}
