/**
 * What every command of the command line is given: where to define itself, the configuration flag that they share, and
 * how to run. A command imports what it needs when it runs, so that one doesn't pay for another.
 */
import type { Command } from 'commander';

export interface ConfigFlags {
  readonly config?: string;
}

/** As `loadConfig` takes it. */
export interface Place {
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

export class CommandLine {
  readonly program: Command;
  readonly #place: Omit<Place, 'file'>;
  #code = 0;

  constructor(program: Command, place: Omit<Place, 'file'>) {
    this.program = program;
    this.#place = place;
  }

  /** The exit code of the command that ran. */
  get code(): number {
    return this.#code;
  }

  /** A command with `--config`. */
  add(name: string, description: string, options?: { readonly isDefault?: boolean }): Command {
    return this.program
      .command(name, options)
      .description(description)
      .option('-c, --config <file>', 'configuration file (default: $CISTERN_CONFIG, then ./mirror.yml)');
  }

  place(flags: ConfigFlags): Place {
    return { ...(flags.config !== undefined && { file: flags.config }), ...this.#place };
  }

  /** `work` resolves with the exit code. */
  async run(work: () => Promise<number>): Promise<void> {
    this.#code = await work();
  }
}
