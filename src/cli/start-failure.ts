/**
 * A start that failed, in one line: the key of the configuration that it is about, what is wrong, and what to do. The stack
 * is for `log.level: debug`.
 */
import { formatListenAddress } from '../config/address.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { StoreError, systemCodeOf } from '../store/store-error.ts';
import { findPortOwner, type PortOwner } from './port-owner.ts';

type Addresses = Pick<Config, 'http' | 'metrics' | 'store'>;

export async function describeStartFailure(error: unknown, config: Addresses): Promise<string> {
  const code = systemCodeOf(error) ?? '';
  const address = listenAddressOf(error);
  if (address !== undefined) {
    const key = isMetrics(address, config.metrics.listen) ? 'metrics.listen' : 'http.listen';
    const owner = code === 'EADDRINUSE' ? await findPortOwner(address) : undefined;
    return `${key}: ${describeListening(code, formatListenAddress(address), owner)}`;
  }
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof StoreError) return `store.path: ${reason}${error.code === 'OWNED' ? ownStore : ''}`;
  if (error instanceof Error && 'syscall' in error) {
    if (error.syscall === 'getaddrinfo')
      return `http.listen: ${String('hostname' in error ? error.hostname : '')} is not a name of this machine; write an IP address of it`;
    const isFile = code === 'ENOTDIR' || code === 'EEXIST';
    const path = isFile || !('path' in error) ? config.store.path : String(error.path);
    return `store.path: ${describeFolder(code, path, reason)}`;
  }
  return `the mirror could not start: ${reason} (log.level: debug shows more)`;
}

const ownStore = '; stop it, or give this mirror a folder of its own';

/** `127.0.0.1:5000 is in use by process 123 (node)`, and what to do. */
export function describeInUse(address: string, owner: PortOwner | undefined): string {
  const name = owner === undefined || owner.name === '' ? '' : ` (${owner.name})`;
  const by = owner === undefined ? 'another process' : `process ${owner.pid}${name}`;
  return `${address} is in use by ${by}; stop it, or choose another port`;
}

function describeListening(code: string, address: string, owner: PortOwner | undefined): string {
  switch (code) {
    case 'EADDRINUSE':
      return describeInUse(address, owner);
    case 'EACCES':
      return `no permission to listen on ${address}; choose a port from 1024 on`;
    case 'EADDRNOTAVAIL':
      return `${address} is not an address of this machine; ":5000" means all of them`;
    default:
      return `cannot listen on ${address} (${code})`;
  }
}

/** Also for a folder that `check` finds to be unusable. */
export function describeFolder(code: string, path: string, reason: string): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return `no permission to write to ${path}; give it to the user that runs the mirror`;
    case 'EROFS':
      return `${path} is on a disk that is mounted read-only; choose another folder`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `${path} is a file, or lies below one; choose a folder`;
    case 'ENOSPC':
    case 'EDQUOT':
      return `the disk of ${path} is full; make room, or choose another folder`;
    default:
      return reason;
  }
}

function isMetrics(address: ListenAddress, metrics: ListenAddress | undefined): boolean {
  return metrics !== undefined && metrics.port === address.port && metrics.host === address.host;
}

/** Of a `listen` that failed on TCP. */
function listenAddressOf(error: unknown): ListenAddress | undefined {
  if (!(error instanceof Error) || !('syscall' in error && error.syscall === 'listen')) return undefined;
  const { address, port } = { address: undefined, port: undefined, ...error };
  return typeof address === 'string' && typeof port === 'number' ? { host: address, port } : undefined;
}
