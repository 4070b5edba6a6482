/** The table of commands: one function each, which defines its words on the command line. */
import { Argument, type Command, Option } from 'commander';
import { clientNames } from '../clients/client-setup.ts';
import { defineBundles } from './bundle/define-bundles.ts';
import type { CommandLine, ConfigFlags } from './command-line.ts';
import { suggestCommand } from './command-words.ts';
import { formatCompletion, type Shell, shells } from './completion.ts';
import { defineHosted } from './hosted/define-hosted.ts';
import type { ImageCommand } from './image-commands.ts';
import type { LsOrder } from './ls.ts';
import { definePush } from './push/define-push.ts';
import { defineReport } from './report/define-report.ts';
import { defineScrub } from './scrub/define-scrub.ts';
import { defineTagCommands } from './tags/define-tags.ts';
import {
  type AdminFlags,
  adminOptionsOf,
  jsonFlag,
  untilClosed,
  write,
  writeError,
} from './terminal/admin-options.ts';
import { defineTop } from './top/define-top.ts';
import { defineUser } from './user/define-user.ts';
import { defineWarm } from './warm/define-warm.ts';

interface StatsFlags extends AdminFlags {
  readonly clients?: true;
  readonly next?: true;
  /** Seconds, or without a number. */
  readonly watch?: string | true;
}

interface LsFlags extends AdminFlags {
  readonly sort: LsOrder;
}

interface ClientFlags extends AdminFlags {
  readonly url?: string;
  readonly default?: true;
  readonly write?: string;
}

const lsOrders: readonly LsOrder[] = ['name', 'used', 'size'];

export function defineCommands(line: CommandLine): void {
  defineServe(line);
  defineCheck(line);
  defineStats(line);
  defineTop(line);
  defineLs(line);
  defineImageCommand(line, 'refresh', 'check a tag with its upstream now');
  defineImageCommand(
    line,
    'evict',
    'remove images with the blobs that no other image needs, or one blob by its digest',
  );
  defineImageCommand(line, 'pin', 'protect a held image from eviction');
  defineImageCommand(line, 'unpin', 'remove the pin of an image');
  defineReport(line);
  defineWarm(line);
  definePush(line);
  defineBundles(line);
  defineTagCommands(line);
  defineHosted(line);
  defineScrub(line);
  defineUser(line);
  defineClient(line);
  defineCerts(line);
  defineCompletion(line);
}

function defineServe(line: CommandLine): void {
  line
    .add('serve', 'run the mirror until SIGTERM or SIGINT', { isDefault: true })
    .allowExcessArguments() // as the default command it gets the words of commands that don't exist
    .action((flags: ConfigFlags, called: Command) =>
      line.run(async () => {
        const [word] = called.args;
        if (word !== undefined) refuseCommand(line, called, word);
        const { commandName, serve } = await import('./serve.ts');
        const command = commandName(process.argv[1] ?? '', process.cwd());
        const terminal = process.stdout.isTTY ? { terminal: { version: line.version, command } } : {};
        return serve({ ...line.loadOptions(flags), process, writeError, ...terminal });
      }),
    );
}

function defineCheck(line: CommandLine): void {
  line
    .add('check', 'check the configuration and print a summary of it')
    .option('--upstreams', 'ask each upstream too, and say what it answers')
    .option(...jsonFlag)
    .action((flags: AdminFlags & { upstreams?: boolean }) =>
      line.run(async () => {
        const { runCheck } = await import('./check.ts');
        const { upstreams = false, json = false } = flags;
        return runCheck({ ...line.loadOptions(flags), upstreams, json, write });
      }),
    );
}

function defineStats(line: CommandLine): void {
  line
    .add('stats', 'statistics of the running daemon, or of the store when no daemon runs')
    .option('--clients', 'pulls, bytes and counted upstream requests per client address')
    .option('--next', 'the blobs that are evicted next')
    .option(...jsonFlag)
    .option('--watch [seconds]', 'print them again every 2 (or so many) seconds, until Ctrl-C')
    .action((flags: StatsFlags) =>
      line.run(async () => {
        const { runStats, watchStats } = await import('./stats.ts');
        const options = adminOptionsOf(line, flags);
        const { clients = false, next = false, watch } = flags;
        const wanted = { clients, next };
        if (watch === undefined) return runStats(options, wanted);
        const isTerminal = process.stdout.isTTY;
        const seconds = watch === true ? 2 : Number(watch);
        return watchStats(options, { seconds, isTerminal, until: untilClosed(), wanted });
      }),
    );
}

function defineLs(line: CommandLine): void {
  line
    .add('ls', 'list the held images')
    .argument('[pattern]', "an image or a pattern of images: busybox, 'busybox:*', 'ghcr.io/**'")
    .option(...jsonFlag)
    .addOption(new Option('--sort <order>', 'the order of the list').choices(lsOrders).default('name'))
    .action((pattern: string | undefined, flags: LsFlags) =>
      line.run(async () => {
        const { runLs } = await import('./ls.ts');
        return runLs({ ...adminOptionsOf(line, flags), order: flags.sort }, pattern);
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
    .addArgument(new Argument('<client>', 'the client or tool').choices(clientNames).argParser(String))
    .option('--url <url>', 'URL of the mirror for clients (default: http.public_url, then http.listen)')
    .option('--default', 'one entry for all registries (containerd, nerdctl, k3s, kind, talos)')
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

function defineCerts(line: CommandLine): void {
  line
    .add('certs', 'print how each kind of client trusts the certificate of this mirror')
    .option('--url <url>', 'URL of the mirror for clients (default: http.public_url, then http.listen)')
    .option(...jsonFlag)
    .action((flags: ClientFlags) =>
      line.run(async () => {
        const { runCerts } = await import('./client/certs.ts');
        return runCerts({
          ...line.loadOptions(flags),
          ...(flags.url !== undefined && { url: flags.url }),
          json: flags.json ?? false,
          write,
          writeError,
        });
      }),
    );
}

function defineCompletion(line: CommandLine): void {
  line
    .addPlain('completion', 'print a script that completes this command line in a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .action((shell: Shell) =>
      line.run(async () => {
        write(formatCompletion(shell, line.program));
        return 0;
      }),
    );
}

function refuseCommand(line: CommandLine, command: Command, word: string): void {
  const meant = suggestCommand(
    word,
    line.program.commands.map(known => known.name()),
  );
  command.error(
    `error: unknown command '${word}'${meant === undefined ? '' : `, did you mean: cistern ${meant}`}`,
  );
}
