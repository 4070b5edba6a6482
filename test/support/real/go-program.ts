/**
 * Programs that Debian has no package of, of one fixed version. `go install` builds each once per machine, into a cache folder outside
 * the repository.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { commandOutput, onPath } from './command.ts';

const programs = {
  conformance: {
    module: 'github.com/opencontainers/distribution-spec/conformance',
    version: 'v0.0.0-20260831232431-97274622c111',
  },
  crane: { module: 'github.com/google/go-containerregistry', folder: '/cmd/crane', version: 'v0.22.1' },
  helm: { module: 'helm.sh/helm/v3', folder: '/cmd/helm', version: 'v3.21.4' },
  oras: { module: 'oras.land/oras', folder: '/cmd/oras', version: 'v1.3.6' },
  regctl: { module: 'github.com/regclient/regclient', folder: '/cmd/regctl', version: 'v0.11.7' },
} as const satisfies Record<string, { module: string; folder?: string; version: string }>;

export type GoProgram = keyof typeof programs;

/** A build from nothing on a busy machine. */
export const goBuildTimeoutMs = 900_000;

/** As `go list -m` wants it. */
export function moduleOf(name: GoProgram): string {
  const { module, version } = programs[name];
  return `${module}@${version}`;
}

/** The path of the program. Errors: a build that fails. */
export async function buildGoProgram(name: GoProgram): Promise<string> {
  const { module, version, ...rest } = programs[name];
  const { XDG_CACHE_HOME: cache = join(homedir(), '.cache') } = process.env;
  const folder = join(cache, 'cistern-tests', `${name}-${version}`);
  const path = join(folder, name);
  if (!existsSync(path)) {
    const install = ['go', 'install', `${module}${'folder' in rest ? rest.folder : ''}@${version}`];
    await commandOutput(install, { env: { GOBIN: folder }, timeoutMs: goBuildTimeoutMs });
  }
  return path;
}

/** The one on the PATH, of whatever version, where there is one. */
export async function findGoProgram(name: GoProgram): Promise<string> {
  return onPath(name) ? name : await buildGoProgram(name);
}
