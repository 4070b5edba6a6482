/**
 * Helm of one fixed version. `go install` builds it once per machine, into a cache folder outside the repository; a helm
 * from elsewhere is not used.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { commandOutput, type Finished, runCommand } from './command.ts';

const version = 'v3.21.4';
/** A build from nothing on a busy machine. */
export const helmBuildTimeoutMs = 900_000;

export class Helm {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Errors: a build that fails. */
  static async find(): Promise<Helm> {
    const { XDG_CACHE_HOME: cache = join(homedir(), '.cache') } = process.env;
    const folder = join(cache, 'cistern-tests', `helm-${version}`);
    const path = join(folder, 'helm');
    if (!existsSync(path)) {
      const install = ['go', 'install', `helm.sh/helm/v3/cmd/helm@${version}`];
      await commandOutput(install, { env: { GOBIN: folder }, timeoutMs: helmBuildTimeoutMs });
    }
    return new Helm(path);
  }

  async run(...words: readonly string[]): Promise<Finished> {
    return await runCommand([this.#path, ...words]);
  }

  /** The manifests that `template` prints. Errors: an exit code but 0, with what helm said. */
  async template(...words: readonly string[]): Promise<string> {
    return await commandOutput([this.#path, 'template', ...words]);
  }
}
