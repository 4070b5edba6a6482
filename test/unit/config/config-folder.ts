/** A temporary folder with configuration files in it, and `loadConfig` run there with nothing of the real environment. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type LoadedConfig, loadConfig } from '../../../src/config/load.ts';
import { ConfigError } from '../../../src/config/problem.ts';

export class ConfigFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<ConfigFolder> {
    return new ConfigFolder(await mkdtemp(join(tmpdir(), 'cistern-config-')));
  }

  async write(name: string, content: string | Buffer): Promise<string> {
    const path = join(this.path, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    return path;
  }

  /** With `text` as mirror.yml, if given. */
  async load(text?: string, env: NodeJS.ProcessEnv = {}, file?: string): Promise<LoadedConfig> {
    if (text !== undefined) await this.write('mirror.yml', text);
    return loadConfig({ ...(file === undefined ? {} : { file }), env, cwd: this.path });
  }

  /** The lines of the problems; fails when the configuration is accepted. */
  async problems(text?: string, env: NodeJS.ProcessEnv = {}, file?: string): Promise<readonly string[]> {
    try {
      await this.load(text, env, file);
    } catch (error) {
      if (error instanceof ConfigError) return error.message.split('\n');
      throw error;
    }
    throw new Error('expected problems, got a configuration');
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
