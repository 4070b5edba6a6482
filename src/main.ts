#!/usr/bin/env node
/**
 * The entry point: reads the command line and runs one command. Exit codes: 0 done, 1 failure, 2 usage or configuration.
 * Imports are dynamic, so that one command doesn't load what another needs.
 */
import { setFlagsFromString } from 'node:v8';
import type { CommanderError } from 'commander';

// The young generation stays at 1 MB instead of growing to 16 MB, which saves 11 MB after the start (app/ops/young-generation.ts). It is
// set here so that it holds however the process is started, and before the imports, which would make it grow.
setFlagsFromString('--semi-space-growth-factor=1');

const [, , ...args] = process.argv;
process.exit(await main(args).catch(explain));

async function main(words: readonly string[]): Promise<number> {
  const { Command, CommanderError } = await import('commander');
  const { CommandLine } = await import('./cli/command-line.ts');
  const { defineCommands } = await import('./cli/commands.ts');
  const { readFullVersion } = await import('./version.ts');
  const version = await readFullVersion();
  const program = new Command()
    .name('cistern')
    .description('A pull-through caching mirror for container registries and a private registry')
    .version(version)
    .exitOverride()
    .showHelpAfterError('Try: cistern --help');
  const line = new CommandLine(program, { env: process.env, cwd: process.cwd(), version });
  defineCommands(line);
  try {
    await program.parseAsync(words, { from: 'user' });
    return line.code;
  } catch (error) {
    if (error instanceof CommanderError) return exitCodeOf(error);
    throw error;
  }
}

/** A package that isn't installed is one line; anything else is a defect. */
function explain(error: unknown): number {
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const isMissing = error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
  const [, name] = /package '([^']+)'/.exec(reason) ?? [];
  const hint = `the package ${name} is not installed: run npm ci in ${new URL('..', import.meta.url).pathname}`;
  process.stderr.write(`${isMissing && name !== undefined ? hint : reason}\n`);
  return 1;
}

/** Commander reports `--help` and `--version` as errors with exit code 0; any other is a usage error. */
function exitCodeOf(error: CommanderError): number {
  return error.exitCode === 0 ? 0 : 2;
}
