/**
 * Cistern as users run it, beside Debian's docker-registry (distribution 2.8), distribution 3 and zot where they can be had: as
 * pull-through caches, or as private registries.
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { unusedPort } from '../../support/ports.ts';
import { unmet } from '../../support/requires.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { builtFile } from '../programs.ts';
import { type MeasuredServer, start } from './start.ts';

/** What it is a mirror of; undefined: nothing, it is a registry to push to. */
export type Upstream = string | undefined;

export interface RegistryKind {
  readonly name: string;
  /** Undefined: it is there. Else why not. */
  readonly missing?: string | undefined;
  start(upstream: Upstream): Promise<MeasuredServer>;
}

export interface StartedCistern extends MeasuredServer {
  readonly storePath: string;
}

export async function startCistern(
  upstream: Upstream,
  sections: Readonly<Record<string, object>> = {},
): Promise<StartedCistern> {
  const folder = await tempDir();
  const port = await unusedPort();
  const storePath = join(folder, 'data');
  const config = {
    ...(upstream === undefined
      ? { hosted: { repositories: ['**'] }, upstreams: {} }
      : { upstreams: { 'docker.io': { url: upstream } } }),
    tags: { ttl: '1h' },
    ...sections,
    http: { listen: `127.0.0.1:${port}`, ...sections['http'] },
    store: { path: storePath, min_free: 0, ...sections['store'] },
  };
  const file = join(folder, 'mirror.yml');
  await writeFile(file, stringify(config));
  const argv = [process.execPath, 'dist/main.js', 'serve', '--config', file];
  const readyPath = 'tls' in Object(sections['http']) ? {} : { readyPath: '/v2/' };
  return { ...(await start({ folder, port, argv, ...readyPath })), storePath };
}

/** Its proxy mode asks the upstream at start, which therefore has to be up. */
async function startDistribution(argv0: string, upstream: Upstream, tls?: object): Promise<MeasuredServer> {
  const folder = await tempDir();
  const port = await unusedPort();
  await mkdir(join(folder, 'storage'));
  const config = {
    version: '0.1',
    log: { level: 'info', accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: join(folder, 'storage') },
      cache: { blobdescriptor: 'inmemory' },
    },
    http: { addr: `127.0.0.1:${port}`, secret: 'only for this bench', ...(tls && { tls }) },
    ...(upstream !== undefined && { proxy: { remoteurl: upstream } }),
  };
  const file = join(folder, 'registry.yml');
  await writeFile(file, stringify(config));
  return start({
    folder,
    port,
    argv: [argv0, 'serve', file],
    ...(tls === undefined && { readyPath: '/v2/' }),
  });
}

async function startZot(upstream: Upstream): Promise<MeasuredServer> {
  const folder = await tempDir();
  const port = await unusedPort();
  const sync = { enable: true, registries: [{ urls: [upstream], onDemand: true, tlsVerify: false }] };
  const config = {
    storage: { rootDirectory: join(folder, 'storage'), dedupe: false },
    http: { address: '127.0.0.1', port: String(port), compat: ['docker2s2'] },
    log: { level: 'info' },
    ...(upstream !== undefined && { extensions: { sync } }),
  };
  const file = join(folder, 'zot.json');
  await writeFile(file, JSON.stringify(config));
  return start({ folder, port, argv: ['zot', 'serve', file], readyPath: '/v2/' });
}

const distribution3 = builtFile('go/registry');

export const cistern: RegistryKind = { name: 'Cistern', start: startCistern };

export const debianRegistry: RegistryKind = {
  name: 'docker-registry',
  missing: unmet(['docker-registry']).length > 0 ? 'docker-registry is not on PATH' : undefined,
  start: upstream => startDistribution('docker-registry', upstream),
};

export const distributionV3: RegistryKind = {
  name: 'distribution 3',
  missing: existsSync(distribution3) ? undefined : 'Go could not install distribution 3',
  start: upstream => startDistribution(distribution3, upstream),
};

export const zot: RegistryKind = {
  name: 'zot',
  missing: unmet(['zot']).length > 0 ? 'zot is not on PATH' : undefined,
  start: startZot,
};

export const registries: readonly RegistryKind[] = [cistern, debianRegistry, distributionV3, zot];

/** Those that are there. `onMissing` hears of the others. */
export function available(kinds: readonly RegistryKind[], onMissing: (why: string) => void): RegistryKind[] {
  for (const { missing } of kinds) if (missing !== undefined) onMissing(missing);
  return kinds.filter(({ missing }) => missing === undefined);
}

/** With a certificate, as a registry of its own. Paths of PEM files. */
export function startDistributionTls(certificate: string, key: string): Promise<MeasuredServer> {
  return startDistribution(distribution3, undefined, { certificate, key });
}
