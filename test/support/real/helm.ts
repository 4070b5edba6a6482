/** Helm, built with Go; a helm from elsewhere is not used. */
import { commandOutput, type Finished, runCommand } from './command.ts';
import { buildGoProgram } from './go-program.ts';

export class Helm {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Errors: a build that fails. */
  static async find(): Promise<Helm> {
    return new Helm(await buildGoProgram('helm'));
  }

  async run(...words: readonly string[]): Promise<Finished> {
    return await runCommand([this.#path, ...words]);
  }

  /** The manifests that `template` prints. Errors: an exit code but 0, with what helm said. */
  async template(...words: readonly string[]): Promise<string> {
    return await commandOutput([this.#path, 'template', ...words]);
  }
}
