/** The words of the commands for the private registry and who is told of it: `repair`, `notifications`, `gc`, `read-only`. */
import { Argument } from 'commander';
import type { CommandLine } from '../command-line.ts';
import { type AdminFlags, adminOptionsOf, jsonFlag } from '../terminal/admin-options.ts';

export function defineHosted(line: CommandLine): void {
  defineRepair(line);
  defineNotifications(line);
  defineGc(line);
  defineReadOnly(line);
}

function defineRepair(line: CommandLine): void {
  line
    .add('repair', 'rebuild the damaged log of a hosted repository')
    .argument('[repository]', 'its name (default: all whose log is damaged)')
    .option(...jsonFlag)
    .action((repository: string | undefined, flags: AdminFlags) =>
      line.run(async () => {
        const { runRepair } = await import('../repair.ts');
        return runRepair(adminOptionsOf(line, flags), repository);
      }),
    );
}

function defineNotifications(line: CommandLine): void {
  line
    .add('notifications', 'send a target of notifications again what it was sent within 24 h')
    .addArgument(new Argument('<action>', 'what to do').choices(['replay']))
    .argument('<name>', 'the name of the target (default in the configuration: the host of its URL)')
    .option(...jsonFlag)
    .action((_action: string, name: string, flags: AdminFlags) =>
      line.run(async () => {
        const { runReplay } = await import('../notifications.ts');
        return runReplay(adminOptionsOf(line, flags), name);
      }),
    );
}

function defineGc(line: CommandLine): void {
  line
    .add('gc', 'remove from hosted repositories what nothing needs any more')
    .option('--dry-run', 'say what would go, why, and how many bytes, and change nothing')
    .option(...jsonFlag)
    .action((flags: AdminFlags & { readonly dryRun?: true }) =>
      line.run(async () => {
        const { runGc } = await import('./gc.ts');
        return runGc(adminOptionsOf(line, flags), flags.dryRun ?? false);
      }),
    );
}

function defineReadOnly(line: CommandLine): void {
  line
    .add('read-only', 'whether the private registry takes pushes and deletes')
    .addArgument(new Argument('[state]', 'left out: say how it is').choices(['on', 'off']))
    .option('--message <text>', 'what refused clients are told')
    .option(...jsonFlag)
    .action((state: string | undefined, flags: AdminFlags & { readonly message?: string }) =>
      line.run(async () => {
        const { runReadOnly } = await import('./read-only.ts');
        return runReadOnly(adminOptionsOf(line, flags), state, flags.message);
      }),
    );
}
