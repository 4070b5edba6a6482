/**
 * Clients as processes of their own, so that their work isn't taken for the server's. For bodies one that drops them in the kernel
 * (native/drain.c), and one of Node where there is no C compiler; curl for TLS, which the kernel doesn't take apart. wrk for rates.
 */
import { existsSync } from 'node:fs';
import { commandOutput } from '../support/real/command.ts';
import { builtFile, programFile } from './programs.ts';
import type { MeasuredServer } from './servers/start.ts';
import { cpuSeconds } from './usage.ts';

const drain = builtFile('drain');
const drains = existsSync(drain) ? [drain] : [process.execPath, programFile('drain')];
/** For the table: what the figures mean depends on it. */
export const clientKind = existsSync(drain)
  ? 'a client that drops bodies in the kernel'
  : 'a client of Node, because there is no C compiler: it costs more than the server';

export interface Downloads {
  /** From the start of the first client to the end of the last one. */
  readonly seconds: number;
  /** Bodies that came with 200 and the expected length. */
  readonly whole: number;
  readonly gigabytes: number;
  /** Milliseconds until the first byte of each body, from the start of the clients. */
  readonly firstMs: readonly number[];
}

export interface DownloadOptions {
  /** At the same time, each with a connection of its own. */
  readonly clients: number;
  /** By each client, one after the other on its connection. */
  readonly times: number;
  readonly bytes: number;
  /** Of each client; absent: as fast as it can. */
  readonly bytesPerSecond?: number;
}

/** A client that fails is counted by what it got, not an error. */
export async function download(url: string, options: DownloadOptions): Promise<Downloads> {
  const { clients, times, bytesPerSecond = 0 } = options;
  const { hostname, port, pathname } = new URL(url);
  const argv = [...drains, hostname, port, String(clients), String(times), String(bytesPerSecond), pathname];
  const output = await commandOutput(argv, { timeoutMs: 900_000 });
  return readAnswers(output, options);
}

/** Over TLS, by curl: a process for each client. */
export async function downloadByCurl(
  url: string,
  caFile: string,
  options: DownloadOptions,
): Promise<Downloads> {
  const report = ['-w', '%{http_code} %{size_download} 0 0\\n'];
  const targets = Array.from({ length: options.times }, () => ['-o', '/dev/null', url]).flat();
  const startedMs = performance.now();
  const outputs = await Promise.all(
    Array.from({ length: options.clients }, () =>
      // `|| true`: curl ends with an error for a body that was cut
      commandOutput(
        ['sh', '-c', 'curl "$@" || true', 'curl', '-s', '--cacert', caFile, ...report, ...targets],
        { timeoutMs: 300_000 },
      ),
    ),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  return { ...readAnswers(outputs.join(''), options), seconds };
}

/** Lines `STATUS BYTES FIRST_BYTE_MS END_MS`. */
function readAnswers(output: string, { bytes }: DownloadOptions): Downloads {
  const answers = output
    .trim()
    .split('\n')
    .map(line => line.split(' ').map(Number));
  return {
    seconds: Math.max(...answers.map(([, , , endMs = 0]) => endMs)) / 1000,
    whole: answers.filter(([status, size]) => status === 200 && size === bytes).length,
    gigabytes: answers.reduce((all, [, size = 0]) => all + size, 0) / 1e9,
    firstMs: answers.map(([, , firstMs = 0]) => firstMs),
  };
}

export interface Rate {
  readonly perSecond: number;
  /** Of the server, for each thousand requests. Seconds. */
  readonly cpuPerThousand: number;
  /** Answers that were no 2xx, and broken connections. */
  readonly failed: number;
}

const connections = 32;
/** docker-registry answers 404 to those who don't name the type. */
const accept = 'Accept: application/vnd.oci.image.manifest.v1+json';

/** GETs of one path over 32 connections by one thread of wrk. */
export async function requestRate(server: MeasuredServer, path: string, seconds: number): Promise<Rate> {
  const before = cpuSeconds(server.pids);
  const url = server.url + path;
  const output = await commandOutput(['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '-H', accept, url]);
  const used = cpuSeconds(server.pids) - before;
  const number = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? 0);
  const requests = number(/(\d+) requests in/);
  return {
    perSecond: number(/Requests\/sec:\s+([\d.]+)/),
    cpuPerThousand: (used * 1000) / requests,
    failed: number(/Non-2xx or 3xx responses: (\d+)/) + number(/Socket errors: .*read (\d+)/),
  };
}
