/** The command line as users run it: `node dist/main.js …`, to its end. Build first. */
import { execFile } from 'node:child_process';
import { expect } from 'vitest';

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `file`: the configuration. */
export function runCistern(file: string, ...args: readonly string[]): Promise<CommandResult> {
  return new Promise(resolve => {
    const all = ['dist/main.js', ...args, '--config', file];
    execFile(process.execPath, all, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code ?? -1);
      resolve({ code, stdout, stderr });
    });
  });
}

/** What it prints with `--json`, exit code 0. */
export async function runForJson(
  file: string,
  ...args: readonly string[]
): Promise<Readonly<Record<string, unknown>>> {
  const { code, stdout, stderr } = await runCistern(file, ...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}
