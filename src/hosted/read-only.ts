/**
 * Whether the private registry takes pushes and deletes now (`hosted.read_only`, `cistern read-only`). Pulls go on either way, and so do
 * the notes of when something was pulled.
 */
import { RegistryError } from '../oci/error.ts';

/** Text: refused clients are told that. */
export type ReadOnlyState = boolean | string;

const usualMessage = 'this registry is read-only for now, try again later';

export class ReadOnly {
  #state: ReadOnlyState;

  constructor(state: ReadOnlyState) {
    this.#state = state;
  }

  get state(): ReadOnlyState {
    return this.#state;
  }

  /** For writes that begin from now on. */
  set(state: ReadOnlyState): void {
    this.#state = state;
  }

  /** Errors: UNAVAILABLE with the message. */
  requireWritable(): void {
    if (this.#state === false) return;
    throw new RegistryError('UNAVAILABLE', { message: this.#state === true ? usualMessage : this.#state });
  }
}
