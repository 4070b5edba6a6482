/** The words of `cistern top` on the command line. */
import type { CommandLine, ConfigFlags } from '../command-line.ts';

interface TopFlags extends ConfigFlags {
  readonly once?: true;
  readonly json?: true;
}

export function defineTop(line: CommandLine): void {
  line
    .add('top', 'what runs now: transfers, uploads, clients and upstreams, each second, until q')
    .option('--once', 'print it once')
    .option('--json', 'print a JSON document, one a line')
    .action((flags: TopFlags) =>
      line.run(async () => {
        const { runTop } = await import('./top.ts');
        const stopped = new AbortController();
        const stop = (): void => stopped.abort();
        process.once('SIGINT', stop);
        process.once('SIGTERM', stop);
        process.stdout.on('error', stop); // `cistern top | head`
        return runTop({
          ...line.loadOptions(flags),
          isOnce: flags.once ?? false,
          json: flags.json ?? false,
          input: process.stdin,
          output: process.stdout,
          write: text => process.stdout.write(text),
          writeError: text => process.stderr.write(text),
          until: stopped,
        });
      }),
    );
}
