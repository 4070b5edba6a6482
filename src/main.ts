#!/usr/bin/env node
/**
 * The entry: reads the command line and runs one command. Exit codes: 0 done, 1 failure, 2 usage or configuration.
 * Everything is imported when it is needed, so that one command doesn't pay for another.
 */
import type { CommanderError } from 'commander';

const [, , ...args] = process.argv;
process.exit(await main(args));

async function main(words: readonly string[]): Promise<number> {
  const { Command, CommanderError } = await import('commander');
  const { CommandLine } = await import('./cli/command-line.ts');
  const { defineCommands } = await import('./cli/commands.ts');
  const { readVersion } = await import('./version.ts');
  const program = new Command()
    .name('cistern')
    .description('A pull-through caching mirror for container registries')
    .version(await readVersion())
    .exitOverride()
    .showHelpAfterError('Try: cistern --help');
  const line = new CommandLine(program, { env: process.env, cwd: process.cwd() });
  defineCommands(line);
  try {
    await program.parseAsync(words, { from: 'user' });
    return line.code;
  } catch (error) {
    if (error instanceof CommanderError) return exitCodeOf(error);
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return 1;
  }
}

/** `--help` and `--version` come as errors too; what the user got wrong is 2. */
function exitCodeOf(error: CommanderError): number {
  return error.exitCode === 0 ? 0 : 2;
}
