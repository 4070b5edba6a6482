/** The words of `cistern client` on the command line. The command itself is loaded when it is used. */
import type { CommandLine, ConfigFlags } from '../command-line.ts';

interface ClientFlags extends ConfigFlags {
  readonly url?: string;
  readonly default?: true;
  readonly json?: true;
  readonly write?: string;
}

export function defineClient(line: CommandLine): void {
  line
    .add('client', 'print what makes a client pull through this mirror, and where it goes')
    .argument('<client>', 'docker, containerd, podman, k3s, kind, crio or buildkit')
    .option('--url <url>', 'how clients reach the mirror (default: http.public_url, then http.listen)')
    .option('--default', 'containerd, k3s, kind: one entry for every registry instead of one for each')
    .option('--json', 'for programs')
    .option(
      '--write <folder>',
      'put the files below this folder (/ or a staging root) instead of printing them',
    )
    .action((client: string, flags: ClientFlags) =>
      line.run(async () => {
        const { runClient } = await import('./client.ts');
        return runClient({
          ...line.place(flags),
          client,
          ...(flags.url !== undefined && { url: flags.url }),
          ...(flags.write !== undefined && { writeTo: flags.write }),
          forAll: flags.default ?? false,
          json: flags.json ?? false,
          write: text => process.stdout.write(text),
          writeError: text => process.stderr.write(text),
        });
      }),
    );
}
