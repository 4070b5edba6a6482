/** The words of `stats`, `ls`, `refresh`, `evict`, `pin` and `unpin` on the command line. What they do is loaded when used. */
import type { CommandLine, ConfigFlags } from './command-line.ts';
import type { ImageCommand } from './image-commands.ts';
import type { AdminOptions } from './with-admin.ts';

interface AdminFlags extends ConfigFlags {
  readonly json?: true;
}

const jsonFlag = ['--json', 'one JSON document, for programs'] as const;
const imageArgument = ['<image...>', '[HOST/]REPOSITORY[:TAG|@DIGEST]; without a tag: latest'] as const;
const imageCommands: readonly (readonly [ImageCommand, string])[] = [
  ['refresh', 'check a tag with its upstream now'],
  ['evict', 'remove images, and those of their blobs that nothing else needs; or a blob by its digest'],
  ['pin', 'never evict an image that is held'],
  ['unpin', 'let go of a pinned image'],
];

export function defineAdminCommands(line: CommandLine): void {
  line
    .add('stats', 'figures of the running daemon, or of the store when none runs')
    .option(...jsonFlag)
    .action((flags: AdminFlags) =>
      line.run(async () => {
        const { runStats } = await import('./stats.ts');
        return runStats(optionsOf(line, flags));
      }),
    );
  line
    .add('ls', 'list what is held')
    .argument('[pattern]', 'of names: docker.io/library/*, ghcr.io/**')
    .option(...jsonFlag)
    .action((pattern: string | undefined, flags: AdminFlags) =>
      line.run(async () => {
        const { runLs } = await import('./ls.ts');
        return runLs(optionsOf(line, flags), pattern);
      }),
    );
  for (const [name, description] of imageCommands) {
    line
      .add(name, description)
      .argument(...imageArgument)
      .option(...jsonFlag)
      .action((images: readonly string[], flags: AdminFlags) =>
        line.run(async () => {
          const { runImageCommand } = await import('./image-commands.ts');
          return runImageCommand(name, optionsOf(line, flags), images);
        }),
      );
  }
}

function optionsOf(line: CommandLine, flags: AdminFlags): AdminOptions {
  process.stdout.on('error', ignoreClosedPipe);
  process.stderr.on('error', ignoreClosedPipe);
  return {
    ...line.place(flags),
    json: flags.json ?? false,
    write: text => process.stdout.write(text),
    writeError: text => process.stderr.write(text),
  };
}

/** `cistern ls | head`: who reads has had enough, and the command still ends as it would. */
function ignoreClosedPipe(error: Error): void {
  if (!('code' in error && error.code === 'EPIPE')) throw error;
}
