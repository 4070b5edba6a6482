/** The words of `cistern warm` on the command line. */
import type { CommandLine, ConfigFlags } from '../command-line.ts';

interface WarmFlags extends ConfigFlags {
  readonly file: readonly string[];
  readonly kubernetes: readonly string[];
  readonly compose: readonly string[];
  readonly fromDocker?: string | true;
  readonly fromContainerd?: string | true;
  readonly platform: readonly string[];
  readonly json?: true;
}

const commandName = 'warm';

export function defineWarm(line: CommandLine): void {
  line
    .add(commandName, 'fetch images ahead, so that their first pull is a hit')
    .argument('[image...]', '[HOST/]REPOSITORY[:TAG|@DIGEST] (default tag: latest)')
    .option('--file <file>', 'a file with an image per line; - is standard input (repeatable)', collect, [])
    .option(
      '--kubernetes <file>',
      'the images of Kubernetes manifests; - is standard input (repeatable)',
      collect,
      [],
    )
    .option('--compose <file>', 'the images of a Compose file (repeatable)', collect, [])
    .option(
      '--from-docker [socket]',
      'the images of a running Docker host (default: $DOCKER_HOST, /var/run/docker.sock)',
    )
    .option(
      '--from-containerd [socket]',
      'the images of a running containerd (default: /run/containerd/containerd.sock)',
    )
    .option(
      '--platform <platform>',
      "such as linux/arm64, or all (repeatable; default: that of the daemon's machine)",
      collect,
      [],
    )
    .option('--json', 'print one JSON document')
    .action((images: readonly string[], flags: WarmFlags) =>
      line.run(async () => {
        const { runWarm } = await import('./warm.ts');
        const stopped = new AbortController();
        process.once('SIGINT', () => stopped.abort());
        process.once('SIGTERM', () => stopped.abort());
        const { file, kubernetes, compose, fromDocker, fromContainerd, platform } = flags;
        return runWarm({
          ...line.loadOptions(flags),
          images,
          files: file,
          kubernetes,
          compose,
          ...(fromDocker !== undefined && { fromDocker }),
          ...(fromContainerd !== undefined && { fromContainerd }),
          platforms: platform,
          json: flags.json ?? false,
          write: text => process.stdout.write(text),
          writeError: text => process.stderr.write(text),
          progressTo: process.stderr,
          signal: stopped.signal,
        });
      }),
    );
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
