/** The words of `cistern push` on the command line. */
import { InvalidArgumentError, Option } from 'commander';
import { bytesPerUnit } from '../../lib/format.ts';
import type { CommandLine } from '../command-line.ts';

interface PushFlags {
  readonly chunk: number;
  readonly select?: string;
  readonly artifactType?: string;
  readonly plainHttp?: true;
  readonly insecure?: true;
  readonly caFile?: string;
  readonly username?: string;
  readonly passwordStdin?: true;
  readonly json?: true;
}

/** Smaller chunks cost more in trips than they save. Bytes. */
const smallestChunk = 64 * 1024;
const defaultChunk = '50MB';

export function definePush(line: CommandLine): void {
  line
    .addPlain('push', 'push an image to a registry, in chunks, and go on where it was cut')
    .argument('<source>', 'an OCI layout (folder or tar), an archive of docker save, or a folder of files')
    .argument('<image>', 'HOST[:PORT]/REPOSITORY[:TAG] (default tag: latest)')
    .addOption(
      new Option('--chunk <size>', 'at most so many bytes in one request')
        .argParser(parseChunk)
        .default(parseChunk(defaultChunk), defaultChunk),
    )
    .option('--select <name>', 'which image of the source, by name or digest')
    .option('--artifact-type <type>', 'the artifactType of a folder of files')
    .option('--plain-http', 'speak HTTP without TLS (always so for localhost)')
    .option('--insecure', "don't check the registry's certificate")
    .option('--ca-file <file>', "the authority of the registry's certificate, as PEM")
    .option('-u, --username <name>', 'log in with this name')
    .option('--password-stdin', 'read the password from standard input')
    .option('--json', 'print one JSON document')
    .action((source: string, image: string, flags: PushFlags) =>
      line.run(async () => {
        const { runPush } = await import('./push.ts');
        const { readPipedPassword } = await import('../user/ask-password.ts');
        const stopped = new AbortController();
        process.once('SIGINT', () => stopped.abort());
        process.once('SIGTERM', () => stopped.abort());
        const { chunk, select, artifactType, caFile, username } = flags;
        return runPush({
          source,
          image,
          chunkBytes: chunk,
          plainHttp: flags.plainHttp ?? false,
          insecure: flags.insecure ?? false,
          json: flags.json ?? false,
          ...(select !== undefined && { select }),
          ...(artifactType !== undefined && { artifactType }),
          ...(caFile !== undefined && { caFile }),
          ...(username !== undefined && { username }),
          ...(flags.passwordStdin && { readPassword: () => readPipedPassword({ input: process.stdin }) }),
          env: process.env,
          userAgent: `cistern/${line.version.split(' ')[0]}`,
          progressTo: process.stderr,
          write: text => process.stdout.write(text),
          writeError: text => process.stderr.write(text),
          signal: stopped.signal,
        });
      }),
    );
}

function parseChunk(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * (unit === '' ? 1 : (bytesPerUnit.get(unit) ?? Number.NaN)));
  if (digits !== '' && bytes >= smallestChunk) return bytes;
  throw new InvalidArgumentError('Give a size such as 50MB, 10MiB or 500KB, at least 64KiB.');
}
