/** The words of `cistern export`, `cistern import` and `cistern digests` on the command line. */
import type { Command } from 'commander';
import type { CommandLine, ConfigFlags } from '../command-line.ts';

interface JsonFlags extends ConfigFlags {
  readonly json?: true;
}

interface ExportFlags extends JsonFlags {
  readonly output: string;
  readonly platform?: readonly string[];
  readonly have?: string;
}

interface ImportFlags extends JsonFlags {
  readonly from?: string;
  readonly fromUrl?: string;
  readonly into?: string;
}

const importName = 'import';
const jsonFlag = ['--json', 'print one JSON document'] as const;

export function defineBundles(line: CommandLine): void {
  defineExport(line);
  defineImport(line);
  line
    .add('digests', 'list the digests that the store has, for export --have')
    .option(...jsonFlag)
    .action((flags: JsonFlags) =>
      line.run(async () => {
        const { runDigests } = await import('./digests.ts');
        return runDigests(adminOptionsOf(line, flags));
      }),
    );
}

function defineExport(line: CommandLine): void {
  line
    .add('export', 'write images with all that belongs to them into one tar (an OCI image layout)')
    .argument('<image...>', '[HOST/]REPOSITORY[:TAG|@DIGEST] (default tag: latest)')
    .requiredOption('-o, --output <file>', 'where the tar goes; -: standard output')
    .option(
      '--platform <platform>',
      'only this one of an index, such as linux/amd64; may be given again (default: all)',
      (platform: string, before: readonly string[] = []) => [...before, platform],
    )
    .option('--have <file>', 'leave out what this list of digests has (cistern digests of the other side)')
    .option(...jsonFlag)
    .action((images: readonly string[], flags: ExportFlags) =>
      line.run(async () => {
        const { runExport } = await import('./export.ts');
        const { output, platform, have } = flags;
        return runExport({
          ...adminOptionsOf(line, flags),
          images,
          output,
          platforms: platform ?? [],
          ...(have !== undefined && { have }),
          stdout: process.stdout,
          progressTo: process.stderr,
          signal: untilStopped(),
        });
      }),
    );
}

function defineImport(line: CommandLine): void {
  line
    .add(importName, 'take images in: from a tar of export, or from the storage folder of another registry')
    .argument('[file]', 'a tar of cistern export, skopeo or docker save; -: standard input')
    .option('--from <folder>', 'the storage folder of registry:2, docker-registry or distribution')
    .option('--from-url <url>', 'that registry itself, for what the folder lacks')
    .option('--into <prefix>', 'put before each name of --from: old makes old/team/app of team/app')
    .option(...jsonFlag)
    .action((file: string | undefined, flags: ImportFlags, called: Command) =>
      line.run(async () => {
        const { from, fromUrl, into } = flags;
        const options = { ...adminOptionsOf(line, flags), signal: untilStopped() };
        if (file === undefined && from === undefined)
          called.error('error: name a file, or --from with a folder');
        if (file !== undefined && from !== undefined)
          called.error('error: --from and a file are two imports: name one of them');
        if (from !== undefined) {
          const { runImport } = await import('../import.ts');
          return runImport({
            ...options,
            from,
            ...(fromUrl !== undefined && { fromUrl }),
            ...(into !== undefined && { into }),
          });
        }
        if (fromUrl !== undefined || into !== undefined)
          called.error('error: --from-url and --into need --from a folder');
        const { runImportBundle } = await import('./import-bundle.ts');
        return runImportBundle({
          ...options,
          bundle: file ?? '-',
          stdin: process.stdin,
          progressTo: process.stderr,
        });
      }),
    );
}

function adminOptionsOf(line: CommandLine, flags: JsonFlags) {
  process.stdout.on('error', ignoreClosedPipe);
  process.stderr.on('error', ignoreClosedPipe);
  return {
    ...line.loadOptions(flags),
    json: flags.json ?? false,
    write: (text: string) => void process.stdout.write(text),
    writeError: (text: string) => void process.stderr.write(text),
  };
}

function untilStopped(): AbortSignal {
  const stopped = new AbortController();
  process.once('SIGINT', () => stopped.abort());
  process.once('SIGTERM', () => stopped.abort());
  return stopped.signal;
}

function ignoreClosedPipe(error: Error): void {
  if (!('code' in error && error.code === 'EPIPE')) throw error;
}
