#!/usr/bin/env node
/**
 * The entry: reads the command line and runs one command. Exit codes: 0 done, 1 failure, 2 usage or configuration.
 * Everything is imported when it is needed, so that one command doesn't pay for another.
 */
import { setFlagsFromString } from 'node:v8';
import type { CommanderError } from 'commander';

// The young generation stays at its first 1 MB instead of growing to 16: a start leaves 11 MB less behind, a load 30 MB.
// From inside, so that it holds however the process was started; before the imports, which would make it grow.
setFlagsFromString('--semi-space-growth-factor=1');

const [, , ...args] = process.argv;
process.exit(await main(args).catch(explain));

async function main(words: readonly string[]): Promise<number> {
  const { Command, CommanderError } = await import('commander');
  const { CommandLine } = await import('./cli/command-line.ts');
  const { defineCommands } = await import('./cli/commands.ts');
  const { formatExamples } = await import('./cli/command-words.ts');
  const { readFullVersion } = await import('./version.ts');
  const version = await readFullVersion();
  const program = new Command()
    .name('cistern')
    .description('A pull-through caching mirror for container registries')
    .version(version)
    .addHelpText('after', formatExamples('cistern'))
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

/** `--help` and `--version` come as errors too; what the user got wrong is 2. */
function exitCodeOf(error: CommanderError): number {
  return error.exitCode === 0 ? 0 : 2;
}
