/**
 * An upstream made of real programs: Debian's docker-registry, alone or with an nginx on another address that serves the
 * registry's storage and to which blob requests are redirected (as Hub does with its object store).
 * `requests()` is the exact list of what reached either of them since `forget()`.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unusedPort } from '../ports.ts';
import type { SpawnedProcess } from '../process.ts';
import { formatRequest, parseAccessLine, type UpstreamRequest } from './access-log.ts';
import { endDaemon, groupInLines, startDaemon } from './daemon.ts';
import { type Place, statusIn } from './place.ts';
import type { TokenServer } from './token-server.ts';

export interface DistributionOptions {
  /** Instead of Debian's: the path of another version. */
  readonly program?: string;
  /** For its configuration. */
  readonly folder: string;
  /** The registry's storage; may be shared by several that are only read from. */
  readonly storage: string;
  readonly place: Place;
  /** Blobs are answered with a redirect to a second host. */
  readonly redirect?: boolean;
  readonly tokens?: TokenServer;
  /** The URL of a registry whose cache it is (its proxy mode); then `storage` is its own. */
  readonly remote?: string;
  /** Paths of PEM files. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** A port that it must have; else any. */
  readonly port?: number;
}

/** One of the two hosts, with the number of its lines that are forgotten. */
interface Host {
  readonly role: UpstreamRequest['host'];
  readonly url: string;
  readonly daemon: SpawnedProcess;
  seen: number;
}

const mark = 'mark-of-the-test=';

export class Distribution {
  readonly #place: Place;
  readonly #hosts: readonly Host[];
  #marks = 0;
  readonly url: string;
  readonly port: number;

  private constructor(place: Place, hosts: readonly Host[], url: string) {
    this.#place = place;
    this.#hosts = hosts;
    this.url = url;
    this.port = Number(new URL(url).port);
  }

  static async start(options: DistributionOptions): Promise<Distribution> {
    await mkdir(options.folder, { recursive: true });
    const storage = options.redirect ? await startStorageHost(options) : undefined;
    const registry = await startRegistry(options, storage?.url);
    return new Distribution(options.place, storage ? [registry, storage] : [registry], registry.url);
  }

  /** To all of the upstream, both hosts. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    for (const { daemon } of this.#hosts) daemon.signal(signal);
  }

  /** All that has ended since `forget()`. `settle: false` for an upstream that can't answer now. */
  async requests(settle = true): Promise<UpstreamRequest[]> {
    if (settle) await this.#settle();
    return this.#hosts
      .flatMap(host => host.daemon.lines.slice(host.seen).map(line => parseAccessLine(line, host.role)))
      .filter(request => request !== undefined)
      .filter(request => !request.target.includes(mark));
  }

  /** `requests()` as short lines, sorted: what a test compares. */
  async lines(settle = true): Promise<string[]> {
    return (await this.requests(settle)).map(formatRequest).sort();
  }

  /** From now on only what comes after this. */
  async forget(settle = true): Promise<void> {
    if (settle) await this.#settle();
    for (const host of this.#hosts) host.seen = host.daemon.lines.length;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#hosts.map(({ daemon }) => endDaemon(daemon)));
  }

  /** A request of our own to each: when it stands in the log, all that ended before it stands there too. */
  async #settle(): Promise<void> {
    for (const { url, daemon } of this.#hosts) {
      this.#marks += 1;
      const own = `${mark}${this.#marks}.`;
      const logged = daemon.waitFor(line =>
        line.includes(`?${own}`) && line.includes('"GET ') ? true : undefined,
      );
      await statusIn(this.#place, `${url}/v2/?${own}`);
      await logged;
    }
  }
}

async function startRegistry(options: DistributionOptions, storageUrl: string | undefined): Promise<Host> {
  const config = join(options.folder, 'registry.json'); // JSON is YAML
  await writeFile(config, JSON.stringify(registryConfig(options, storageUrl), undefined, 2));
  const listening = /msg="listening on [^"]*:(\d+)/;
  const daemon = await startDaemon({
    place: options.place,
    argv: [options.program ?? 'docker-registry', 'serve', config],
    env: { OTEL_TRACES_EXPORTER: 'none' },
    ready: async started => groupInLines(started, listening) !== undefined,
  });
  const url = `${options.tls ? 'https' : 'http'}://127.0.0.1:${groupInLines(daemon, listening)}`;
  return { role: 'registry', url, daemon, seen: 0 };
}

function registryConfig(options: DistributionOptions, storageUrl: string | undefined): object {
  const { tokens, tls, remote } = options;
  const redirect = [{ name: 'redirect', options: { baseurl: `${storageUrl}/` } }];
  return {
    version: '0.1',
    log: { level: 'info', formatter: 'text', accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: options.storage, maxthreads: 100 },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: {
      addr: `127.0.0.1:${options.port ?? 0}`,
      secret: 'only for this test',
      ...(tls ? { tls: { certificate: tls.certificate, key: tls.key } } : {}),
    },
    ...(storageUrl === undefined ? {} : { middleware: { storage: redirect } }),
    ...(remote === undefined ? {} : { proxy: { remoteurl: remote } }),
    ...(tokens ? { auth: { token: tokens.registryOptions } } : {}),
  };
}

async function startStorageHost({ folder, storage, place }: DistributionOptions): Promise<Host> {
  const port = await unusedPort();
  const url = `http://127.0.0.2:${port}`;
  const config = join(folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `${kind}_temp_path ${join(folder, 'nginx-temporary')};`)
    .join(' ');
  await writeFile(
    config,
    `daemon off; master_process off; user root; pid ${join(folder, 'nginx.pid')}; error_log stderr;
events {}
http { access_log /dev/stdout combined; sendfile on; ${temporary}
  server { listen 127.0.0.2:${port}; root ${storage}; } }\n`,
  );
  const daemon = await startDaemon({
    place,
    // nginx opens its log by name, which it can do with a pipe and not with the socket that a child's output is
    argv: [
      'bash',
      '-c',
      'exec nginx "$@" > >(exec cat)',
      'nginx',
      '-c',
      config,
      '-p',
      folder,
      '-e',
      'stderr',
    ],
    ready: async () => (await statusIn(place, `${url}/?${mark}start`)) !== 0,
  });
  return { role: 'storage', url, daemon, seen: 0 };
}
