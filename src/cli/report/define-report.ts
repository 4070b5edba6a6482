/** The words of `cistern report` on the command line. */
import type { CommandLine, ConfigFlags } from '../command-line.ts';

interface ReportFlags extends ConfigFlags {
  readonly since: string;
  readonly price?: string;
  readonly json?: true;
}

const commandName = 'report';

export function defineReport(line: CommandLine): void {
  line
    .add(commandName, 'what the mirror answered, fetched and saved, and what it did in vain')
    .option('--since <time>', 'for how long, or since when: 30d, 12h, 2026-11-01', '30d')
    .option('--price <price>', 'of a GB of traffic: says what was saved')
    .option('--json', 'print one JSON document')
    .action((flags: ReportFlags) =>
      line.run(async () => {
        const { runReport } = await import('./report.ts');
        const { since, price } = flags;
        return runReport({
          ...line.loadOptions(flags),
          since,
          ...(price !== undefined && { price }),
          json: flags.json ?? false,
          write: text => process.stdout.write(text),
          writeError: text => process.stderr.write(text),
        });
      }),
    );
}
