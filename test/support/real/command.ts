/**
 * Runs one command to its end. Everything that the real parts call (openssl, tar, docker, ctr, podman …) goes through
 * here, so that a failure always says which command it was and what it printed. No shell is involved.
 */
import { spawn } from 'node:child_process';
import { constants as access, accessSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';

export interface CommandOptions {
  /** Added to the environment of this process; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** After this the command is killed (by its pid) and counts as failed. */
  readonly timeoutMs?: number;
}

export interface Finished {
  /** The exit code; 128 + signal number when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ends with whatever the command ended with; only a command that can't be started at all is an error. */
export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  const [file = '', ...rest] = argv;
  const child = spawn(file, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const timer = setTimeout(() => {
    err.push(Buffer.from(`\nkilled: no end after ${options.timeoutMs ?? 120_000} ms\n`));
    child.kill('SIGKILL');
  }, options.timeoutMs ?? 120_000);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exit, signal) => resolve(exit ?? 128 + (signal ? constants.signals[signal] : 0)));
    });
    return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
  } finally {
    clearTimeout(timer);
  }
}

/** The standard output. Errors: any exit code but 0, with the command and the end of what it printed. */
export async function commandOutput(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const finished = await runCommand(argv, options);
  if (finished.code === 0) return finished.stdout;
  throw new Error(
    `expected exit code 0, got ${finished.code}: ${argv.join(' ')}\n${(finished.stderr + finished.stdout).slice(-3000)}`,
  );
}

export function onPath(command: string): boolean {
  const { PATH = '' } = process.env;
  return PATH.split(delimiter).some(folder => {
    try {
      accessSync(join(folder, command), access.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
