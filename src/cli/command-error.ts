/** What a command says on standard error when it can't do what it was told, and the exit code that goes with it. */
import { RegistryError } from '../oci/error.ts';
import { StoreError, systemCodeOf } from '../store/store-error.ts';

/** What was typed is no name of an image: the user's to mend, like a wrong flag. */
const usageCodes: ReadonlySet<string> = new Set(['NAME_INVALID', 'TAG_INVALID', 'DIGEST_INVALID']);

export class CommandError extends Error {
  /** Of the registry's table of errors, of a `StoreError`, or `FAILED`. */
  readonly code: string;

  constructor(message: string, code = 'FAILED') {
    super(message);
    this.name = 'CommandError';
    this.code = code;
  }

  get exitCode(): 1 | 2 {
    return usageCodes.has(this.code) ? 2 : 1;
  }
}

/** Errors that the rooms below document, and those of the system. Undefined: something nobody expected. */
export function asCommandError(error: unknown): CommandError | undefined {
  if (error instanceof CommandError) return error;
  if (error instanceof RegistryError || error instanceof StoreError)
    return new CommandError(error.message, error.code);
  if (error instanceof Error && systemCodeOf(error) !== undefined) return new CommandError(error.message);
  return undefined;
}
