/** The words of `cistern import` on the command line. */
import type { CommandLine, ConfigFlags } from './command-line.ts';

interface ImportFlags extends ConfigFlags {
  readonly from: string;
  readonly fromUrl?: string;
  readonly into?: string;
  readonly json?: true;
}

const commandName = 'import';

export function defineImport(line: CommandLine): void {
  line
    .add(commandName, 'move the images of another registry in, from its storage folder')
    .requiredOption('--from <folder>', 'the storage folder of registry:2, docker-registry or distribution')
    .option('--from-url <url>', 'that registry itself, for what the folder lacks')
    .option('--into <prefix>', 'put before each name: old makes old/team/app of team/app')
    .option('--json', 'print one JSON document')
    .action((flags: ImportFlags) =>
      line.run(async () => {
        const { runImport } = await import('./import.ts');
        const stopped = new AbortController();
        process.once('SIGINT', () => stopped.abort());
        process.once('SIGTERM', () => stopped.abort());
        const { from, fromUrl, into } = flags;
        return runImport({
          ...line.loadOptions(flags),
          from,
          ...(fromUrl !== undefined && { fromUrl }),
          ...(into !== undefined && { into }),
          json: flags.json ?? false,
          write: text => process.stdout.write(text),
          writeError: text => process.stderr.write(text),
          progressTo: process.stderr,
          signal: stopped.signal,
        });
      }),
    );
}
