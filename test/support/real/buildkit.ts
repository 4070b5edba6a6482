/**
 * BuildKit of one fixed version, with a daemon of its own. Go builds it once per machine, into a cache folder outside the repository; its
 * module has `exclude` lines, which `go install` refuses, so it is built as a dependency of an empty module.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { clientEnvironment, prepareFolder } from './client.ts';
import { commandOutput, runCommand } from './command.ts';
import { endDaemon, startDaemon } from './daemon.ts';
import { goBuildTimeoutMs } from './go-program.ts';
import { host } from './place.ts';

const version = 'v0.34.2';
const programs = ['buildkitd', 'buildctl'] as const;

export interface BuildOptions {
  /** A folder with a Dockerfile. */
  readonly context: string;
  /** A stage of it; the last one when left out. */
  readonly target?: string;
  /** As buildctl takes them: `type=registry,ref=…`. */
  readonly exportCache?: string;
  readonly importCache?: string;
  readonly output: string;
}

export class Buildkit {
  readonly #command: readonly string[];
  readonly #env: Readonly<Record<string, string | undefined>>;

  private constructor(command: readonly string[], env: Readonly<Record<string, string | undefined>>) {
    this.#command = command;
    this.#env = env;
  }

  /** For the running test. Errors: a build that fails. */
  static async start(folder: string): Promise<Buildkit> {
    const path = await findPrograms();
    const client = { folder, place: host, mirror: '' };
    await prepareFolder(client);
    const address = `unix://${join(folder, 'b.sock')}`;
    const env = clientEnvironment(client);
    const command = [join(path, 'buildctl'), '--addr', address];
    const config = join(folder, 'buildkitd.toml');
    await writeFile(config, '');
    const own = ['--config', config, '--root', join(folder, 'root'), '--addr', address];
    const daemon = await startDaemon({
      place: host,
      argv: [join(path, 'buildkitd'), ...own, '--oci-worker-net', 'host'],
      env,
      ready: async () => (await runCommand([...command, 'debug', 'workers'], { env })).code === 0,
    });
    onTestFinished(() => endDaemon(daemon));
    return new Buildkit(command, env);
  }

  /** Errors: the build failed. */
  async build({ context, target, exportCache, importCache, output }: BuildOptions): Promise<void> {
    const from = ['--local', `context=${context}`, '--local', `dockerfile=${context}`];
    const more = [
      ...(target === undefined ? [] : ['--opt', `target=${target}`]),
      ...(exportCache === undefined ? [] : ['--export-cache', exportCache]),
      ...(importCache === undefined ? [] : ['--import-cache', importCache]),
    ];
    const build = ['build', '--progress', 'plain', '--frontend', 'dockerfile.v0', ...from, ...more];
    await commandOutput([...this.#command, ...build, '--output', output], { env: this.#env });
  }

  /** It forgets all that it built. */
  async prune(): Promise<void> {
    await commandOutput([...this.#command, 'prune', '--all'], { env: this.#env });
  }
}

/** The folder of the programs. */
async function findPrograms(): Promise<string> {
  const { XDG_CACHE_HOME: cache = join(homedir(), '.cache') } = process.env;
  const folder = join(cache, 'cistern-tests', `buildkit-${version}`);
  if (existsSync(folder)) return folder;
  await mkdir(join(cache, 'cistern-tests'), { recursive: true });
  const building = await mkdtemp(`${folder}-building-`);
  try {
    const module = join(building, 'module');
    const built = join(building, 'built');
    const paths = programs.map(name => `github.com/moby/buildkit/cmd/${name}`);
    const go = async (...words: readonly string[]) => {
      const env = { CGO_ENABLED: '0' };
      await commandOutput(['go', ...words], { cwd: module, env, timeoutMs: goBuildTimeoutMs });
    };
    await mkdir(module);
    await go('mod', 'init', 'build');
    await go('get', ...paths.map(path => `${path}@${version}`));
    await go('build', '-o', `${built}/`, ...paths);
    await rename(built, folder);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return folder;
}
