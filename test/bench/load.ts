/**
 * Clients as processes of their own, so that their work isn't taken for the server's: curl for bodies, which it reads in
 * steps of 100 KB and throws away, and wrk for rates.
 */
import { commandOutput } from '../support/real/command.ts';
import { cpuSeconds } from './usage.ts';

export interface Downloads {
  /** From the start of the first client to the end of the last one. */
  readonly seconds: number;
  /** Bodies that came with 200 and the expected length. */
  readonly whole: number;
  readonly gigabytes: number;
}

export interface DownloadOptions {
  /** At the same time, each with a connection of its own. */
  readonly clients: number;
  /** By each client, one after the other on its connection. */
  readonly times: number;
  readonly bytes: number;
}

/** A client that fails is counted by what it got, not an error. */
export async function download(url: string, options: DownloadOptions): Promise<Downloads> {
  const { clients, times, bytes } = options;
  const report = ['-w', '%{http_code} %{size_download}\\n'];
  const targets = Array.from({ length: times }, () => ['-o', '/dev/null', url]).flat();
  const startedMs = performance.now();
  const outputs = await Promise.all(
    Array.from({ length: clients }, () =>
      // `|| true`: curl ends with an error for a body that was cut
      commandOutput(['sh', '-c', 'curl "$@" || true', 'curl', '-s', ...report, ...targets], {
        timeoutMs: 300_000,
      }),
    ),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  const answers = outputs.flatMap(output =>
    output
      .trim()
      .split('\n')
      .map(line => line.split(' ').map(Number)),
  );
  return {
    seconds,
    whole: answers.filter(([status, size]) => status === 200 && size === bytes).length,
    gigabytes: answers.reduce((all, [, size = 0]) => all + size, 0) / 1e9,
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

/** GETs of one URL over 32 connections by one thread of wrk. */
export async function requestRate(url: string, pid: number, seconds: number): Promise<Rate> {
  const before = cpuSeconds(pid);
  const output = await commandOutput(['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '-H', accept, url]);
  const used = cpuSeconds(pid) - before;
  const number = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? 0);
  const requests = number(/(\d+) requests in/);
  return {
    perSecond: number(/Requests\/sec:\s+([\d.]+)/),
    cpuPerThousand: (used * 1000) / requests,
    failed: number(/Non-2xx or 3xx responses: (\d+)/) + number(/Socket errors: .*read (\d+)/),
  };
}
