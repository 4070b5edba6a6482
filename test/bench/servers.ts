/**
 * The servers that are measured side by side, each a process of its own that ends with the running test: Cistern as users
 * run it, Debian's docker-registry as a pull-through cache, nginx as Debian sets it up (a worker per core, sendfile) and a
 * bare server of Node. Their logs go to files: reading them must cost no time.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stringify } from 'yaml';
import { unusedPort } from '../support/ports.ts';
import { spawnProcess } from '../support/process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { programFile } from './programs.ts';

export interface MeasuredServer {
  readonly url: string;
  readonly pid: number;
  /** Ends it before the test does. */
  stop(): Promise<void>;
}

export type ServerName = 'Cistern' | 'docker-registry';

export async function startCistern(
  upstreamUrl: string,
  log: Readonly<Record<string, unknown>> = {},
): Promise<MeasuredServer> {
  const folder = await tempDir();
  const port = await unusedPort();
  const config = {
    http: { listen: `127.0.0.1:${port}` },
    store: { path: join(folder, 'data'), min_free: 0 },
    upstreams: { 'docker.io': { url: upstreamUrl } },
    tags: { ttl: '1h' },
    log,
  };
  await writeFile(join(folder, 'mirror.yml'), stringify(config));
  const argv = [process.execPath, 'dist/main.js', 'serve', '--config', join(folder, 'mirror.yml')];
  return start(folder, port, argv, '/v2/');
}

/** Its proxy mode asks the upstream at start, which therefore has to be up. */
export async function startDistributionProxy(upstreamUrl: string): Promise<MeasuredServer> {
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
    http: { addr: `127.0.0.1:${port}`, secret: 'only for this bench' },
    proxy: { remoteurl: upstreamUrl },
  };
  await writeFile(join(folder, 'registry.yml'), stringify(config));
  return start(folder, port, ['docker-registry', 'serve', join(folder, 'registry.yml')], '/v2/');
}

/** By name, for rounds that go over both. */
export const mirrors: Readonly<Record<ServerName, (upstreamUrl: string) => Promise<MeasuredServer>>> = {
  Cistern: upstreamUrl => startCistern(upstreamUrl),
  'docker-registry': startDistributionProxy,
};

/** Serves `files` under their names. */
export async function startNginx(files: Readonly<Record<string, Buffer>>): Promise<MeasuredServer> {
  const folder = await tempDir();
  const port = await unusedPort();
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `${kind}_temp_path ${join(folder, 'temporary')};`)
    .join(' ');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; ${user} worker_processes auto; pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')};
events { worker_connections 768; }
http { access_log ${join(folder, 'access.log')}; sendfile on; tcp_nopush on; ${temporary}
  server { listen 127.0.0.1:${port}; root ${folder}; } }\n`,
  );
  const argv = ['nginx', '-c', join(folder, 'nginx.conf'), '-p', folder, '-e', join(folder, 'error.log')];
  return start(folder, port, argv, '/nginx.conf');
}

/** Answers everything with the bytes, as a manifest; `kind` says by what. */
export async function startBareServer(kind: 'node:http' | 'Koa', bytes: Buffer): Promise<MeasuredServer> {
  const folder = await tempDir();
  const port = await unusedPort();
  await writeFile(join(folder, 'body'), bytes);
  const argv = [process.execPath, programFile('bare-server'), kind, String(port), join(folder, 'body')];
  return start(folder, port, argv, '/');
}

async function start(
  folder: string,
  port: number,
  argv: readonly string[],
  readyPath: string,
): Promise<MeasuredServer> {
  const output = join(folder, 'output.log');
  const server = spawnProcess('sh', ['-c', 'exec "$@" > "$0" 2>&1', output, ...argv], {
    env: { ...process.env, OTEL_TRACES_EXPORTER: 'none' },
  });
  const url = `http://127.0.0.1:${port}`;
  const deadlineMs = performance.now() + 20_000;
  while (server.running && performance.now() < deadlineMs) {
    const answer = await fetch(url + readyPath).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return { url, pid: server.pid, stop: () => server.stop().then(() => {}) };
    await delay(50);
  }
  throw new Error(`${argv[0]} did not start:\n${(await readFile(output, 'utf8')).slice(-3000)}`);
}
