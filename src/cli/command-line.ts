/**
 * What all commands share: `--config`, the exit code, and the error that becomes one line on standard error. A command
 * imports what it needs when it runs, so that one doesn't pay for another.
 */
import type { Command } from 'commander';
import type { LoadOptions } from '../config/load.ts';
import { RegistryError } from '../oci/error.ts';
import { StoreError, systemCodeOf } from '../store/store-error.ts';
import { formatExamples } from './command-words.ts';

export interface ConfigFlags {
  readonly config?: string;
}

export class CommandLine {
  readonly program: Command;
  /** With the commit. */
  readonly version: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #cwd: string;
  #code = 0;

  constructor(program: Command, { env, cwd, version }: LoadOptions & { readonly version: string }) {
    this.program = program.addHelpText('after', formatExamples('cistern'));
    this.version = version;
    this.#env = env;
    this.#cwd = cwd;
  }

  /** The exit code of the command that ran. */
  get code(): number {
    return this.#code;
  }

  /** A command with `--config`. */
  add(name: string, description: string, options?: { readonly isDefault?: boolean }): Command {
    return this.addPlain(name, description, options).option(
      '-c, --config <file>',
      'configuration file (default: $CISTERN_CONFIG, then ./mirror.yml)',
    );
  }

  /** A command that reads no configuration. */
  addPlain(name: string, description: string, options?: { readonly isDefault?: boolean }): Command {
    return this.program
      .command(name, options)
      .description(description)
      .addHelpText('after', formatExamples(name));
  }

  /** What `loadConfig` takes. */
  loadOptions({ config }: ConfigFlags): LoadOptions {
    return { ...(config !== undefined && { file: config }), env: this.#env, cwd: this.#cwd };
  }

  /** `work` resolves with the exit code. */
  async run(work: () => Promise<number>): Promise<void> {
    this.#code = await work();
  }
}

/** The argument is no name of an image: the user's mistake, like a wrong flag. */
const usageCodes: ReadonlySet<string> = new Set(['USAGE', 'NAME_INVALID', 'TAG_INVALID', 'DIGEST_INVALID']);

/** A command can't do what it was told. */
export class CommandError extends Error {
  /** Of the registry's table of errors, of a `StoreError`, `USAGE` (an argument that can't be read), or `FAILED`. */
  readonly code: string;

  constructor(message: string, code = 'FAILED', cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = 'CommandError';
    this.code = code;
  }

  get exitCode(): 1 | 2 {
    return usageCodes.has(this.code) ? 2 : 1;
  }
}

/** Documented errors of other rooms, and those of the system. Undefined: a defect, or an abort, which the caller has asked for. */
export function asCommandError(error: unknown): CommandError | undefined {
  if (error instanceof CommandError) return error;
  if (error instanceof RegistryError || error instanceof StoreError)
    return new CommandError(error.message, error.code);
  const code = systemCodeOf(error);
  if (error instanceof Error && code !== undefined && code !== 'ABORT_ERR')
    return new CommandError(error.message);
  return undefined;
}
