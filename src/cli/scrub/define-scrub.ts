/** The words of `cistern scrub` on the command line. */
import { InvalidArgumentError, Option } from 'commander';
import { bytesPerUnit } from '../../lib/format.ts';
import type { CommandLine, ConfigFlags } from '../command-line.ts';

interface ScrubFlags extends ConfigFlags {
  readonly rate?: number;
  readonly json?: true;
}

export function defineScrub(line: CommandLine): void {
  line
    .add('scrub', 'compare all that is held with its digests, and fetch again what is bad')
    .addOption(
      new Option(
        '--rate <rate>',
        'read at most so much, such as 50MiB/s; 0: no bound (default: store.scrub.rate)',
      ).argParser(parseRate),
    )
    .option('--json', 'print one JSON document')
    .action((flags: ScrubFlags) =>
      line.run(async () => {
        const { runScrub } = await import('./scrub.ts');
        const stopped = new AbortController();
        process.once('SIGINT', () => stopped.abort());
        process.once('SIGTERM', () => stopped.abort());
        return runScrub({
          ...line.loadOptions(flags),
          json: flags.json ?? false,
          ...(flags.rate !== undefined && { bytesPerSecond: flags.rate }),
          write: text => process.stdout.write(text),
          writeError: text => process.stderr.write(text),
          progressTo: process.stderr,
          signal: stopped.signal,
        });
      }),
    );
}

function parseRate(text: string): number {
  if (text === '0') return 0;
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)\/s$/.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * (bytesPerUnit.get(unit) ?? Number.NaN));
  if (digits !== '' && bytes > 0) return bytes;
  throw new InvalidArgumentError('Give a rate such as 50MiB/s or 500KB/s, or 0.');
}
