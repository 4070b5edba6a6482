/**
 * The mirror under test, in this process (`startTestMirror`) or as a child (`spawnTestMirror`, for kill tests), always
 * from a real configuration file, on a free port, with a store in a temporary directory.
 *
 *     const upstream = await startFakeUpstream();
 *     const mirror = await startTestMirror({ upstream });
 *     const { body } = await get(mirror.url, '/v2/library/alpine/manifests/latest');
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { startMirror } from '../../src/app/mirror.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Timers } from '../../src/lib/wait.ts';
import { createLogger } from '../../src/log.ts';
import { get } from './client.ts';
import { type SpawnedProcess, spawnProcess } from './process.ts';
import { tempDir } from './temp-dir.ts';

export interface TestMirrorOptions {
  /** What docker.io (the default upstream) points to; left out, `config.upstreams` says it all. */
  readonly upstream?: { readonly url: string };
  /** Further keys for docker.io's entry. */
  readonly hub?: Readonly<Record<string, unknown>>;
  /** Sections of mirror.yml, merged over the test's own one level deep. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, unknown>> | unknown>>;
  /** To start again on a store that is there already. */
  readonly storePath?: string;
  readonly now?: () => number;
  /** With `now`: a clock that the test moves (test-clock.ts). */
  readonly timers?: Timers;
  /** Of a child: it kills itself after so many operations on files of the private registry (kill-at-disk-step.mjs). */
  readonly killAfterStep?: number;
  /** Of `spawnTestMirror`: a module of this folder that the daemon loads first, and its environment. */
  readonly preload?: { readonly name: string; readonly env: Readonly<Record<string, string>> };
}

export interface TestMirror {
  readonly url: string;
  /** In the order of `http.listen`. */
  readonly urls: readonly string[];
  /** Its configuration. */
  readonly file: string;
  readonly storePath: string;
  /** Each line of the log, parsed. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** The value of one series, such as `cistern_evictions_total` or `name{upstream="docker.io"}`; 0 when absent. */
  metric(series: string): Promise<number>;
  /** Everything that runs in the background after the start is done. */
  settled(): Promise<void>;
  close(drainMs?: number): Promise<void>;
}

async function writeConfig(options: TestMirrorOptions): Promise<{ file: string; storePath: string }> {
  const folder = await tempDir();
  const storePath = options.storePath ?? join(folder, 'data');
  const own = {
    http: { listen: '127.0.0.1:0' },
    store: { path: storePath, min_free: 0 },
    ...(options.upstream && { upstreams: { 'docker.io': { url: options.upstream.url, ...options.hub } } }),
    log: { level: 'debug' },
  };
  const merged: Record<string, unknown> = { ...own };
  for (const [section, value] of Object.entries(options.config ?? {})) {
    const base = merged[section];
    merged[section] = isSection(base) && isSection(value) ? { ...base, ...value } : value;
  }
  const file = join(folder, 'mirror.yml');
  await writeFile(file, stringify(merged));
  return { file, storePath };
}

export async function startTestMirror(options: TestMirrorOptions = {}): Promise<TestMirror> {
  const { file, storePath } = await writeConfig(options);
  const { config } = await loadConfig({ file, env: {}, cwd: '/' });
  const log: Record<string, unknown>[] = [];
  const logger = createLogger({ level: 'debug', format: 'json', write: line => log.push(JSON.parse(line)) });
  const { now, timers } = options;
  const mirror = await startMirror(config, { logger, ...(now && { now }), ...(timers && { timers }) });
  let closed: Promise<void> | undefined;
  const close = (drainMs = 0) => {
    closed ??= mirror.close({ drainMs });
    return closed;
  };
  onTestFinished(() => close());
  const [url] = mirror.urls;
  if (url === undefined) throw new Error('expected the mirror to listen');
  return {
    url,
    urls: mirror.urls,
    file,
    storePath,
    log,
    close,
    settled: () => mirror.settled,
    metric: series => readMetric(url, series),
  };
}

/** `node dist/main.js serve`; ready when this resolves. */
export async function spawnTestMirror(options: TestMirrorOptions = {}): Promise<{
  url: string;
  file: string;
  storePath: string;
  process: SpawnedProcess;
  metric(series: string): Promise<number>;
}> {
  const { file, storePath } = await writeConfig(options);
  const { killAfterStep } = options;
  const preload =
    killAfterStep === undefined
      ? options.preload
      : { name: 'kill-at-disk-step', env: { CISTERN_TEST_KILL_AFTER: String(killAfterStep) } };
  const loaded = preload === undefined ? [] : ['--import', `./test/support/${preload.name}.mjs`];
  const args = [...loaded, 'dist/main.js', 'serve', '--config', file];
  const child = spawnProcess(process.execPath, args, { env: { ...process.env, ...preload?.env } });
  const ready = await child.waitForMessage('listening');
  const url = String(ready['url']);
  return { url, file, storePath, process: child, metric: series => readMetric(url, series) };
}

async function readMetric(url: string, series: string): Promise<number> {
  const { body } = await get(url, '/metrics');
  const line = body
    .toString()
    .split('\n')
    .find(text => text.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
