/**
 * Which process listens on a port, as Linux' `/proc` shows it; undefined elsewhere, and for a process whose descriptors this
 * user may not see.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import type { ListenAddress } from '../config/config.ts';

export interface PortOwner {
  readonly pid: number;
  /** As `ps` shows it; empty when it has ended meanwhile. */
  readonly name: string;
}

const tables = ['tcp', 'tcp6'] as const;
/** TCP_LISTEN of the kernel. */
const listening = '0A';

export async function findPortOwner(address: ListenAddress): Promise<PortOwner | undefined> {
  const inodes = new Set<string>();
  for (const table of tables)
    for (const line of (await readProc(`/proc/net/${table}`)).split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      if (state === listening && isSame(local, address)) inodes.add(`socket:[${inode}]`);
    }
  if (inodes.size === 0) return undefined;
  for (const pid of await list('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const descriptor of await list(`/proc/${pid}/fd`)) {
      if (!inodes.has(await readLink(`/proc/${pid}/fd/${descriptor}`))) continue;
      return { pid: Number(pid), name: (await readProc(`/proc/${pid}/comm`)).trim() };
    }
  }
  return undefined;
}

/** `local`: `0100007F:1388`. IPv6 addresses are compared by their port alone. */
function isSame(local: string, { host, port }: ListenAddress): boolean {
  const [hex = '', hexPort = ''] = local.split(':');
  if (Number.parseInt(hexPort, 16) !== port) return false;
  if (!isIPv4(host) || host === '0.0.0.0' || hex.length > 8 || /^0+$/.test(hex)) return true;
  const bytes = host.split('.').map(part => Number(part).toString(16).padStart(2, '0').toUpperCase());
  return bytes.reverse().join('') === hex;
}

/** Empty for what is gone or not for us. */
function readProc(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

function readLink(path: string): Promise<string> {
  return readlink(path).catch(() => '');
}

function list(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}
