/** A server that is measured: processes of its own that end with the running test. Their logs go to files: reading them must cost no time. */
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { spawnProcess } from '../../support/process.ts';
import { programFile } from '../programs.ts';

export interface MeasuredServer {
  readonly url: string;
  /** All that work for it. */
  readonly pids: readonly number[];
  /** Ends it before the test does. */
  stop(): Promise<void>;
}

export interface Launch {
  readonly folder: string;
  readonly port: number;
  readonly argv: readonly string[];
  /** Answers with 2xx when it is ready. Absent: it is ready when it accepts connections, as one that speaks TLS. */
  readonly readyPath?: string;
}

/** Errors: a process that isn't ready within 20 s, with the end of what it said. */
export async function start({ folder, port, argv, readyPath }: Launch): Promise<MeasuredServer> {
  const output = join(folder, 'output.log');
  const server = spawnProcess('sh', ['-c', 'exec "$@" > "$0" 2>&1', output, ...argv], {
    env: { ...process.env, OTEL_TRACES_EXPORTER: 'none' },
  });
  const url = readyPath === undefined ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  const deadlineMs = performance.now() + 20_000;
  while (server.running && performance.now() < deadlineMs) {
    if (await (readyPath === undefined ? accepts(port) : isOk(url + readyPath)))
      return { url, pids: [server.pid], stop: () => server.stop().then(() => {}) };
    await delay(50);
  }
  throw new Error(`${argv[0]} did not start:\n${(await readFile(output, 'utf8')).slice(-3000)}`);
}

async function isOk(url: string): Promise<boolean> {
  const answer = await fetch(url).catch(() => undefined);
  await answer?.arrayBuffer();
  return answer?.ok === true;
}

/** Something listens there. */
export function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Two that answer together, such as a proxy and what is behind it; `front` is asked. */
export function together(front: MeasuredServer, other: MeasuredServer): MeasuredServer {
  return {
    url: front.url,
    pids: [...front.pids, ...other.pids],
    stop: async () => {
      await front.stop();
      await other.stop();
    },
  };
}

/** Answers everything with the bytes of a file, as a manifest; `kind` says by what. */
export async function startBareServer(
  kind: 'node:http' | 'Koa',
  { folder, port, file }: { readonly folder: string; readonly port: number; readonly file: string },
): Promise<MeasuredServer> {
  const argv = [process.execPath, programFile('bare-server'), kind, String(port), file];
  return start({ folder, port, argv, readyPath: '/' });
}
