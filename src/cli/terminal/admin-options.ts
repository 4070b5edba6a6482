/** What commands that ask the daemon have in common on the command line: `--config`, `--json`, the two streams, and a reader that goes away. */
import type { AdminOptions } from '../admin-client.ts';
import type { CommandLine, ConfigFlags } from '../command-line.ts';

export interface AdminFlags extends ConfigFlags {
  readonly json?: true;
}

export const jsonFlag = ['--json', 'print one JSON document'] as const;

export function adminOptionsOf(line: CommandLine, flags: AdminFlags): AdminOptions {
  process.stdout.on('error', ignoreClosedPipe);
  process.stderr.on('error', ignoreClosedPipe);
  return {
    ...line.loadOptions(flags),
    json: flags.json ?? false,
    write,
    writeError,
    progressTo: process.stderr,
  };
}

/** Aborted by Ctrl-C, and when the reader has closed the pipe. */
export function untilClosed(): AbortSignal {
  const closed = new AbortController();
  process.once('SIGINT', () => closed.abort());
  process.once('SIGTERM', () => closed.abort());
  process.stdout.once('error', () => closed.abort());
  return closed.signal;
}

/** `cistern ls | head`: the reader has closed the pipe, and the command still ends with its own exit code. */
function ignoreClosedPipe(error: Error): void {
  if (!('code' in error && error.code === 'EPIPE')) throw error;
}

export function write(text: string): void {
  process.stdout.write(text);
}

export function writeError(text: string): void {
  process.stderr.write(text);
}
