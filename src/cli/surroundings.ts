/**
 * What `check` finds out about this machine without a network: whether the store's folder can be written, whether its disk is
 * large enough, whether the ports are free, and whether an upstream is this mirror. The mirror may be running meanwhile.
 */
import { constants } from 'node:fs';
import { access, readFile, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hostname, type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import { parseHtpasswd } from '../auth/identity/htpasswd.ts';
import { formatListenAddress } from '../config/address.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { findOwnUpstreams, type Remark } from '../config/hints/surprises.ts';
import type { LoadedConfig } from '../config/load.ts';
import { type Path, valueAt } from '../config/problem.ts';
import { formatBytes, formatSize } from '../lib/format.ts';
import { systemCodeOf } from '../store/store-error.ts';
import { findPortOwner } from './port-owner.ts';
import { describeFolder, describeInUse } from './start-failure.ts';

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

export interface Surroundings {
  /** Left out: those of this machine. */
  readonly interfaces?: (() => Interfaces) | undefined;
  /** The process of the mirror that has this store; it may have the ports. */
  ownerPid(storePath: string): Promise<number | undefined>;
}

/** In the order: store, ports, users, upstreams. */
export async function findTroubles(
  { config, tree }: Pick<LoadedConfig, 'config' | 'tree'>,
  { interfaces = networkInterfaces, ownerPid }: Surroundings,
): Promise<readonly Remark[]> {
  const { http, metrics, store } = config;
  const owner = await ownerPid(store.path);
  const listens: readonly (readonly [Path, ListenAddress])[] = [
    ...http.listen.map(address => [['http', 'listen'], address] as const),
    ...(metrics.listen === undefined ? [] : [[['metrics', 'listen'], metrics.listen] as const]),
  ];
  const ports = await Promise.all(listens.map(([path, address]) => checkPort(path, address, owner)));
  const outer = Object.values(interfaces()).flatMap(addresses => addresses ?? []);
  const own = new Set([
    ...outer.filter(({ internal }) => !internal).map(({ address }) => address),
    hostname(),
  ]);
  return [
    ...(await checkFolder(store)),
    ...(await checkSize(store, valueAt(tree, ['store', 'max_size']) !== undefined)),
    ...ports.flat(),
    ...(await checkHtpasswd(config.access.htpasswd)),
    ...findOwnUpstreams(tree, http, own),
  ];
}

/** Lines of the file that no user can log in with. */
async function checkHtpasswd(path: string | undefined): Promise<Remark[]> {
  if (path === undefined) return [];
  const { flaws } = await parseHtpasswd(await readFile(path, 'utf8'));
  return flaws.map(({ line, message }) => [['access', 'htpasswd'], `${path}:${line}: not used: ${message}`]);
}

async function checkFolder({ path }: Config['store']): Promise<Remark[]> {
  const folder = await existing(path);
  try {
    if (!(await stat(folder)).isDirectory())
      return [[['store', 'path'], describeFolder('ENOTDIR', path, '')]];
    await access(folder, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [[['store', 'path'], describeFolder(systemCodeOf(error) ?? '', folder, reason)]];
  }
}

/** The default is no promise: the disk limits it. */
async function checkSize({ path, maxBytes }: Config['store'], isGiven: boolean): Promise<Remark[]> {
  if (!isGiven || !Number.isFinite(maxBytes)) return [];
  const { blocks, bsize } = await statfs(await existing(path));
  const diskBytes = blocks * bsize;
  if (maxBytes <= diskBytes) return [];
  return [
    [['store', 'max_size'], `${formatSize(maxBytes)} is more than the disk has (${formatBytes(diskBytes)})`],
  ];
}

async function checkPort(
  path: Path,
  address: ListenAddress,
  mirrorPid: number | undefined,
): Promise<Remark[]> {
  const code = address.port === 0 ? undefined : await tryListening(address);
  if (code !== 'EADDRINUSE') return [];
  const owner = await findPortOwner(address);
  if (mirrorPid !== undefined && (owner === undefined || owner.pid === mirrorPid)) return [];
  return [[path, describeInUse(formatListenAddress(address), owner)]];
}

/** The code of the error; undefined: it can be listened on. */
function tryListening({ host, port }: ListenAddress): Promise<string | undefined> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', error => resolve(systemCodeOf(error)));
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}

/** The folder, or the nearest one above it that is there. */
async function existing(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      await stat(folder);
      return folder;
    } catch (error) {
      const code = systemCodeOf(error);
      if (folder === dirname(folder) || (code !== 'ENOENT' && code !== 'ENOTDIR')) return folder;
    }
  }
}
