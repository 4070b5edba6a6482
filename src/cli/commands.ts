/** The table of commands: one function each, which defines it. */
import type { Command } from 'commander';
import { defineAdminCommands } from './admin-commands.ts';
import { defineClient } from './client/define-client.ts';
import type { CommandLine, ConfigFlags } from './command-line.ts';

const definitions = [defineServe, defineCheck, defineAdminCommands, defineClient];

export function defineCommands(line: CommandLine): void {
  for (const define of definitions) define(line);
}

function defineServe(line: CommandLine): void {
  line
    .add('serve', 'run the mirror until SIGTERM or SIGINT', { isDefault: true })
    .allowExcessArguments() // as the default command it gets the words of commands that don't exist
    .action((flags: ConfigFlags, command: Command) =>
      line.run(async () => {
        const [word] = command.args;
        if (word !== undefined) command.error(`error: unknown command '${word}'`);
        const { serve } = await import('./serve.ts');
        return serve({ ...line.place(flags), process, writeError: text => process.stderr.write(text) });
      }),
    );
}

function defineCheck(line: CommandLine): void {
  line
    .add('check', 'read the configuration and say what it comes to')
    .option('--upstreams', 'ask the upstreams too')
    .action((flags: ConfigFlags & { upstreams?: boolean }) =>
      line.run(async () => {
        const { runCheck } = await import('./check.ts');
        const upstreams = flags.upstreams === undefined ? {} : { upstreams: flags.upstreams };
        return runCheck({ ...line.place(flags), ...upstreams, write: text => process.stdout.write(text) });
      }),
    );
}
