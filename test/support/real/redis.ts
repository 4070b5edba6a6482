/**
 * A real redis-server of one test, on a free port of 127.0.0.1: killed, paused, started again (empty: it keeps nothing on
 * disk) on the same port, and looked at with a client of its own.
 *
 *     const redis = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' });
 *     await redis.kill();
 *     await redis.start();
 */
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { unusedPort } from '../ports.ts';
import { SpawnedProcess } from '../process.ts';
import { makeTempDir } from '../temp-dir.ts';

export interface RedisServerOptions {
  /** Further arguments of redis-server. */
  readonly args?: readonly string[];
  /** Of the user `default`, when `args` set one. */
  readonly password?: string;
  /** The plain port is off then; clients trust this CA. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly caPem: string };
  /** `redis-sentinel` is the same program with `--sentinel` and a file that it writes to. */
  readonly configFile?: string;
}

const ready = /Ready to accept connections|Sentinel ID is|Server initialized/;

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await makeRedis(options);
  onTestFinished(() => server.remove());
  return server;
}

/** Outside a test (beforeAll): the caller removes it. */
export async function makeRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = new RedisServer(options, await makeTempDir());
  await server.start();
  return server;
}

export class RedisServer {
  readonly #options: RedisServerOptions;
  readonly #folder: { readonly path: string; remove(): Promise<void> };
  #port = 0;
  readonly #clients = new Map<number, Redis>();
  #process: SpawnedProcess | undefined;

  constructor(options: RedisServerOptions, folder: { path: string; remove(): Promise<void> }) {
    this.#options = options;
    this.#folder = folder;
  }

  get port(): number {
    return this.#port;
  }

  /** With the password of the options, if any. */
  get url(): string {
    const { password, tls } = this.#options;
    return `${tls ? 'rediss' : 'redis'}://${password === undefined ? '' : `:${password}@`}127.0.0.1:${this.#port}`;
  }

  get process(): SpawnedProcess {
    if (this.#process === undefined) throw new Error('expected a started redis-server');
    return this.#process;
  }

  /** Resolves when it takes connections. The first time on a free port, then on the same one again; always empty. */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const port = this.#port === 0 ? await unusedPort() : this.#port;
      const child = new SpawnedProcess('redis-server', this.#arguments(port), { cwd: this.#folder.path });
      this.#process = child;
      try {
        await child.waitFor(line => (ready.test(line) ? line : undefined), 'redis-server to be ready');
        this.#port = port;
        return;
      } catch (error) {
        await child.stop('SIGKILL');
        if (attempt === 5 || !/already in use/.test(child.output)) throw error;
      }
    }
  }

  /** As a crash or a power cut. */
  async kill(): Promise<void> {
    for (const client of this.#clients.values()) client.disconnect();
    this.#clients.clear();
    await this.#process?.stop('SIGKILL');
  }

  async remove(): Promise<void> {
    await this.kill();
    await this.#folder.remove();
  }

  /** It keeps its connections and answers nothing. */
  pause(): void {
    this.process.signal('SIGSTOP');
  }

  resume(): void {
    this.process.signal('SIGCONT');
  }

  /** A client of the test; the same one again, until the server is killed. */
  client(database = 0): Redis {
    const open = this.#clients.get(database);
    if (open !== undefined) return open;
    const { password, tls } = this.#options;
    const client = new Redis({
      host: '127.0.0.1',
      port: this.#port,
      db: database,
      ...(password !== undefined && { password }),
      ...(tls && { tls: { ca: tls.caPem } }),
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    client.on('error', () => {});
    this.#clients.set(database, client);
    return client;
  }

  #arguments(port: number): string[] {
    const { args = [], tls, configFile } = this.#options;
    return [
      ...(configFile === undefined ? [] : [configFile]),
      ...(tls === undefined ? ['--port', String(port)] : ['--port', '0', '--tls-port', String(port)]),
      ...(tls === undefined
        ? []
        : ['--tls-cert-file', tls.certFile, '--tls-key-file', tls.keyFile, '--tls-auth-clients', 'no']),
      ...(tls === undefined ? [] : ['--tls-ca-cert-file', tls.certFile]),
      ...['--bind', '127.0.0.1', '--daemonize', 'no'],
      ...(configFile === undefined ? ['--save', '', '--appendonly', 'no'] : []),
      ...args,
    ];
  }
}
