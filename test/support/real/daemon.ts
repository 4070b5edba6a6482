/**
 * Daemons of the real parts: started in a place, ready when they say so, ended by their own pid and also when the test
 * process dies without ending them. Each has mounts of its own, so that none is left where its folder is removed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { SpawnedProcess } from '../process.ts';
import type { Place } from './place.ts';

export interface DaemonOptions {
  readonly place: Place;
  readonly argv: readonly string[];
  /** Added to the environment of the test process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Asked again and again until true. */
  readonly ready: (daemon: SpawnedProcess) => Promise<boolean>;
}

const ownMounts = ['unshare', '--mount', '--propagation', 'private', '--'];

/** Errors: it ended while starting, or was not ready after 30 s; with the end of what it printed. */
export async function startDaemon(options: DaemonOptions): Promise<SpawnedProcess> {
  const [command = '', ...args] = options.place.command([...ownMounts, ...options.argv]);
  const daemon = new SpawnedProcess('setpriv', ['--pdeathsig', 'TERM', '--', command, ...args], {
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const deadline = Date.now() + 30_000;
  while (daemon.running && Date.now() < deadline) {
    if (await options.ready(daemon)) return daemon;
    await delay(50);
  }
  await endDaemon(daemon);
  throw new Error(`${options.argv[0]} did not start:\n${daemon.lines.slice(-20).join('\n')}`);
}

/** SIGTERM; SIGKILL for one that is still there after 15 s. */
export async function endDaemon(daemon: SpawnedProcess): Promise<void> {
  const timer = setTimeout(() => daemon.signal('SIGKILL'), 15_000);
  await daemon.stop('SIGTERM').finally(() => clearTimeout(timer));
}

/** The first group of the first line that matches. */
export function groupInLines(daemon: SpawnedProcess, pattern: RegExp): string | undefined {
  for (const line of daemon.lines) {
    const found = pattern.exec(line)?.[1];
    if (found !== undefined) return found;
  }
  return undefined;
}
