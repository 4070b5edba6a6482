/**
 * A built mirror with V8's inspector on loopback. `reset` sets the call counters to zero, `read` says which functions of `src`
 * were called since. Code at the top of a file, which runs at its import, doesn't count.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'undici';
import { onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { spawnProcess } from '../support/process.ts';
import { tempDir } from '../support/temp-dir.ts';

export interface Trip {
  /** Paths below `src`, sorted. */
  readonly files: readonly string[];
  /** `FILE:FUNCTION`, sorted; those without a name are told apart by their offset. */
  readonly functions: readonly string[];
}

export interface TracedMirror {
  readonly url: string;
  reset(): Promise<void>;
  read(): Promise<Trip>;
}

interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly {
    readonly functionName: string;
    readonly ranges: readonly { readonly startOffset: number; readonly count: number }[];
  }[];
}

const settleMs = 1500;

export async function startTracedMirror(
  upstreamUrl: string,
  store: Readonly<Record<string, unknown>>,
): Promise<TracedMirror> {
  const folder = await tempDir();
  const config = {
    http: { listen: '127.0.0.1:0' },
    store: { path: join(folder, 'data'), min_free: 0, ...store },
    upstreams: { 'docker.io': { url: upstreamUrl } },
    tags: { ttl: '1h' },
  };
  const file = join(folder, 'mirror.yml');
  await writeFile(file, stringify(config));
  const argv = ['--inspect=127.0.0.1:0', 'dist/main.js', 'serve', '--config', file];
  const child = spawnProcess(process.execPath, argv);
  const { url } = await child.waitForMessage('listening');
  const address = child.lines.map(line => /ws:\/\/127\.0\.0\.1:\d+\/\S+/.exec(line)?.[0]).find(Boolean);
  if (address === undefined) throw new Error(`node named no inspector:\n${child.lines.join('\n')}`);
  const session = await openSession(address);
  await delay(settleMs);
  await session('Profiler.enable');
  await session('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  const take = async (): Promise<readonly ScriptCoverage[]> =>
    (await session('Profiler.takePreciseCoverage'))['result'] as readonly ScriptCoverage[];
  return {
    url: String(url),
    reset: async () => {
      await take();
    },
    read: async () => tripOf(await take()),
  };
}

type Send = (
  method: string,
  params?: Readonly<Record<string, unknown>>,
) => Promise<Readonly<Record<string, unknown>>>;

/** The inspector's protocol: one JSON message each way, paired by `id`. */
async function openSession(address: string): Promise<Send> {
  const socket = new WebSocket(address);
  const waiting = new Map<number, (result: Readonly<Record<string, unknown>>) => void>();
  let lastId = 0;
  onTestFinished(() => socket.close());
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id: number; result: Record<string, unknown> };
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve());
    socket.addEventListener('error', () => reject(new Error(`no inspector at ${address}`)));
  });
  return (method, params = {}) =>
    new Promise(resolve => {
      lastId += 1;
      waiting.set(lastId, resolve);
      socket.send(JSON.stringify({ id: lastId, method, params }));
    });
}

function tripOf(scripts: readonly ScriptCoverage[]): Trip {
  const functions = new Set<string>();
  const files = new Set<string>();
  for (const { url, functions: called } of scripts) {
    const path = /\/dist\/(.+)\.js$/.exec(url)?.[1];
    if (path === undefined || url.includes('/node_modules/')) continue;
    for (const { functionName, ranges } of called) {
      const [range] = ranges;
      const isTopLevel = functionName === '' && range?.startOffset === 0;
      if (range === undefined || range.count === 0 || isTopLevel) continue;
      files.add(`${path}.ts`);
      functions.add(`${path}.ts:${functionName || `(at ${range.startOffset})`}`);
    }
  }
  return { files: [...files].sort(), functions: [...functions].sort() };
}
