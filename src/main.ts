#!/usr/bin/env node
/**
 * The entry: reads the command line and runs one command. Exit codes: 0 done, 1 failure, 2 usage or configuration.
 * Everything is imported when it is needed, so that one command doesn't pay for another.
 */
import { readFile } from 'node:fs/promises';
import type { Command, CommanderError } from 'commander';

const [, , ...args] = process.argv;
process.exit(await main(args));

async function main(words: readonly string[]): Promise<number> {
  const { Command, CommanderError } = await import('commander');
  let code = 0;
  const program = defineProgram(new Command(), await readVersion(), async run => {
    code = await run();
  });
  try {
    await program.parseAsync(words, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return exitCodeOf(error);
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return 1;
  }
}

function defineProgram(
  program: Command,
  version: string,
  runner: (run: () => Promise<number>) => Promise<void>,
): Command {
  const configFlag = '-c, --config <file>';
  const configHelp = 'configuration file (default: $CISTERN_CONFIG, then ./mirror.yml)';
  program
    .name('cistern')
    .description('A pull-through caching mirror for container registries')
    .version(version)
    .exitOverride()
    .showHelpAfterError('Try: cistern --help');
  program
    .command('serve', { isDefault: true })
    .description('run the mirror until SIGTERM or SIGINT')
    .option(configFlag, configHelp)
    .allowExcessArguments() // as the default command it gets the words of commands that don't exist
    .action((flags: { config?: string }, command: Command) =>
      runner(async () => {
        const [word] = command.args;
        if (word !== undefined) command.error(`error: unknown command '${word}'`);
        const { serve } = await import('./cli/serve.ts');
        return serve({ ...surroundings(flags), process, writeError: text => process.stderr.write(text) });
      }),
    );
  program
    .command('check')
    .description('read the configuration and say what it comes to')
    .option(configFlag, configHelp)
    .option('--upstreams', 'ask the upstreams too')
    .action((flags: { config?: string; upstreams?: boolean }) =>
      runner(async () => {
        const { runCheck } = await import('./cli/check.ts');
        const upstreams = flags.upstreams === undefined ? {} : { upstreams: flags.upstreams };
        return runCheck({ ...surroundings(flags), ...upstreams, write: text => process.stdout.write(text) });
      }),
    );
  return program;
}

function surroundings(flags: { config?: string }): { file?: string; env: NodeJS.ProcessEnv; cwd: string } {
  const file = flags.config === undefined ? {} : { file: flags.config };
  return { ...file, env: process.env, cwd: process.cwd() };
}

/** `--help` and `--version` come as errors too; what the user got wrong is 2. */
function exitCodeOf(error: CommanderError): number {
  return error.exitCode === 0 ? 0 : 2;
}

async function readVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
}
