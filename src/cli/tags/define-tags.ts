/** The words of `cistern history`, `restore`, `promote` and `retention` on the command line. */
import type { AdminOptions } from '../admin-client.ts';
import type { CommandLine, ConfigFlags } from '../command-line.ts';

interface TagFlags extends ConfigFlags {
  readonly json?: true;
}

const imageWord = '[HOST/]REPOSITORY[:TAG] (default tag: latest)';
const jsonFlag = ['--json', 'print one JSON document'] as const;

export function defineTagCommands(line: CommandLine): void {
  defineHistory(line);
  defineRestore(line);
  definePromote(line);
  defineRetention(line);
}

function defineHistory(line: CommandLine): void {
  line
    .add('history', 'where a tag pointed to, since when, and who moved it')
    .argument('<image>', imageWord)
    .option(...jsonFlag)
    .action((image: string, flags: TagFlags) =>
      line.run(async () => {
        const { runHistory } = await import('./tags.ts');
        return runHistory(optionsOf(line, flags), image);
      }),
    );
}

function defineRestore(line: CommandLine): void {
  line
    .add('restore', 'point a hosted tag to what it was before, or bring a deleted image back')
    .argument('<image>', 'REPOSITORY[:TAG], or REPOSITORY@DIGEST for a deleted manifest with its tags')
    .argument('[digest]', 'to that manifest: @sha256:… (default: what the tag was before its last move)')
    .option('--at <time>', 'what the tag was then: 2026-11-27, 2026-11-27T10:00, 2026-11-27T10:00Z')
    .option(...jsonFlag)
    .action((image: string, digest: string | undefined, flags: TagFlags & { readonly at?: string }) =>
      line.run(async () => {
        const { runRestore } = await import('./tags.ts');
        return runRestore(optionsOf(line, flags), image, { digest, at: flags.at });
      }),
    );
}

function definePromote(line: CommandLine): void {
  line
    .add('promote', 'make an image of an upstream a hosted one, without copying its bytes')
    .argument('<image>', '[HOST/]REPOSITORY[:TAG|@DIGEST]: what is missing of it is fetched first')
    .argument('<hosted-image>', 'REPOSITORY[:TAG] of this registry')
    .option('--platform <platforms...>', 'of an index, only these images: linux/amd64 linux/arm64')
    .option(...jsonFlag)
    .action((from: string, to: string, flags: TagFlags & { readonly platform?: readonly string[] }) =>
      line.run(async () => {
        const { runPromote } = await import('./tags.ts');
        return runPromote(optionsOf(line, flags), from, to, flags.platform ?? []);
      }),
    );
}

function defineRetention(line: CommandLine): void {
  line
    .add('retention', 'which hosted tags hosted.retention keeps or removes, and which rule says so')
    .requiredOption('--explain', 'print a line for each tag, and change nothing')
    .option(...jsonFlag)
    .action((flags: TagFlags) =>
      line.run(async () => {
        const { runRetention } = await import('./tags.ts');
        return runRetention(optionsOf(line, flags));
      }),
    );
}

function optionsOf(line: CommandLine, flags: TagFlags): AdminOptions {
  process.stdout.on('error', ignoreClosedPipe);
  return {
    ...line.loadOptions(flags),
    json: flags.json ?? false,
    write: text => process.stdout.write(text),
    writeError: text => process.stderr.write(text),
  };
}

/** `cistern history app | head`: the reader has closed the pipe. */
function ignoreClosedPipe(error: Error): void {
  if (!('code' in error && error.code === 'EPIPE')) throw error;
}
