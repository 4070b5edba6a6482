/** The table of commands: one function each, which defines its words on the command line. */
import type { Command } from 'commander';
import type { AdminOptions } from './admin-client.ts';
import type { CommandLine, ConfigFlags } from './command-line.ts';
import type { ImageCommand } from './image-commands.ts';

interface AdminFlags extends ConfigFlags {
  readonly json?: true;
}

interface ClientFlags extends AdminFlags {
  readonly url?: string;
  readonly default?: true;
  readonly write?: string;
}

const jsonFlag = ['--json', 'print one JSON document'] as const;

export function defineCommands(line: CommandLine): void {
  defineServe(line);
  defineCheck(line);
  defineStats(line);
  defineLs(line);
  defineImageCommand(line, 'refresh', 'check a tag with its upstream now');
  defineImageCommand(
    line,
    'evict',
    'remove images with the blobs that no other image needs, or one blob by its digest',
  );
  defineImageCommand(line, 'pin', 'protect a held image from eviction');
  defineImageCommand(line, 'unpin', 'remove the pin of an image');
  defineClient(line);
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
        return serve({ ...line.loadOptions(flags), process, writeError });
      }),
    );
}

function defineCheck(line: CommandLine): void {
  line
    .add('check', 'check the configuration and print a summary of it')
    .option('--upstreams', 'ask the upstreams too')
    .action((flags: ConfigFlags & { upstreams?: boolean }) =>
      line.run(async () => {
        const { runCheck } = await import('./check.ts');
        return runCheck({ ...line.loadOptions(flags), upstreams: flags.upstreams ?? false, write });
      }),
    );
}

function defineStats(line: CommandLine): void {
  line
    .add('stats', 'statistics of the running daemon, or of the store when no daemon runs')
    .option(...jsonFlag)
    .action((flags: AdminFlags) =>
      line.run(async () => {
        const { runStats } = await import('./stats.ts');
        return runStats(adminOptionsOf(line, flags));
      }),
    );
}

function defineLs(line: CommandLine): void {
  line
    .add('ls', 'list the held images')
    .argument('[pattern]', 'of names: docker.io/library/*, ghcr.io/**')
    .option(...jsonFlag)
    .action((pattern: string | undefined, flags: AdminFlags) =>
      line.run(async () => {
        const { runLs } = await import('./ls.ts');
        return runLs(adminOptionsOf(line, flags), pattern);
      }),
    );
}

function defineImageCommand(line: CommandLine, name: ImageCommand, description: string): void {
  line
    .add(name, description)
    .argument('<image...>', '[HOST/]REPOSITORY[:TAG|@DIGEST] (default tag: latest)')
    .option(...jsonFlag)
    .action((images: readonly string[], flags: AdminFlags) =>
      line.run(async () => {
        const { runImageCommand } = await import('./image-commands.ts');
        return runImageCommand(name, adminOptionsOf(line, flags), images);
      }),
    );
}

function defineClient(line: CommandLine): void {
  line
    .add('client', 'print the files that make a client pull through this mirror')
    .argument('<client>', 'docker, containerd, podman, k3s, kind, crio or buildkit')
    .option('--url <url>', 'URL of the mirror for clients (default: http.public_url, then http.listen)')
    .option('--default', 'one entry for all registries (containerd, k3s, kind)')
    .option(...jsonFlag)
    .option('--write <folder>', 'write the files below this folder (/ or a staging root) instead of printing')
    .action((client: string, flags: ClientFlags) =>
      line.run(async () => {
        const { runClient } = await import('./client/client.ts');
        return runClient({
          ...line.loadOptions(flags),
          client,
          ...(flags.url !== undefined && { url: flags.url }),
          ...(flags.write !== undefined && { writeTo: flags.write }),
          forAll: flags.default ?? false,
          json: flags.json ?? false,
          write,
          writeError,
        });
      }),
    );
}

function adminOptionsOf(line: CommandLine, flags: AdminFlags): AdminOptions {
  process.stdout.on('error', ignoreClosedPipe);
  process.stderr.on('error', ignoreClosedPipe);
  return { ...line.loadOptions(flags), json: flags.json ?? false, write, writeError };
}

/** `cistern ls | head`: the reader has closed the pipe, and the command still ends with its own exit code. */
function ignoreClosedPipe(error: Error): void {
  if (!('code' in error && error.code === 'EPIPE')) throw error;
}

function write(text: string): void {
  process.stdout.write(text);
}

function writeError(text: string): void {
  process.stderr.write(text);
}
