/**
 * The mirror as users run it: the built `dist/main.js serve` as a process of its own in any place, from a real
 * configuration file. It can be started anew on the same port and the same store with other settings, and its access
 * log says what the clients asked it for and how long each answer took.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { SpawnedProcess } from '../process.ts';
import { commandOutput } from './command.ts';
import { endDaemon, startDaemon } from './daemon.ts';
import type { Place } from './place.ts';

export interface MirrorSettings {
  /** Key to URL; the first one is the default upstream. */
  readonly upstreams: Readonly<Record<string, string>>;
  /** As in mirror.yml: `10m`. */
  readonly tagsTtl: string;
  /** 30 s when left out. */
  readonly drain?: string;
}

export interface MirrorRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly outcome: string;
  readonly userAgent: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly endedAt: number;
}

/** The root of this checkout; `dist/` and the git-ignored `.lab/` are in it. */
export const projectFolder = fileURLToPath(new URL('../../..', import.meta.url));

export class Mirror {
  readonly #place: Place;
  readonly #folder: string;
  readonly url: string;
  #process: SpawnedProcess;
  #seen = 0;
  #marks = 0;

  private constructor(place: Place, folder: string, process: SpawnedProcess, url: string) {
    this.#place = place;
    this.#folder = folder;
    this.#process = process;
    this.url = url;
  }

  /** Keeps configuration and store in `folder`. */
  static async start(place: Place, folder: string, settings: MirrorSettings): Promise<Mirror> {
    await mkdir(folder, { recursive: true });
    const { process, url } = await startProcess(place, folder, settings, 0);
    return new Mirror(place, folder, process, url);
  }

  get process(): SpawnedProcess {
    return this.#process;
  }

  /** Same port, same store. What was asked so far is forgotten. */
  async restart(settings: MirrorSettings): Promise<void> {
    await this.stop();
    const port = Number(new URL(this.url).port);
    this.#process = (await startProcess(this.#place, this.#folder, settings, port)).process;
    this.#seen = 0;
  }

  /**
   * What has been answered since `forget()`, in the order of ending. The log comes through a pipe, after the answers:
   * a request of our own marks how far it must have come.
   */
  async requests(): Promise<MirrorRequest[]> {
    this.#marks += 1;
    const mark = `mark-${this.#marks}`;
    await commandOutput(this.#place.command(['curl', '-sS', '-A', mark, `${this.url}/v2/`]));
    await this.#process.waitFor(line => (parseRequest(line)?.userAgent === mark ? line : undefined), mark);
    return this.#process.lines
      .slice(this.#seen)
      .map(parseRequest)
      .filter(request => request !== undefined)
      .filter(({ userAgent }) => !userAgent.startsWith('mark-'));
  }

  forget(): void {
    this.#seen = this.#process.lines.length;
  }

  async stop(): Promise<void> {
    await endDaemon(this.#process);
  }
}

async function startProcess(
  place: Place,
  folder: string,
  settings: MirrorSettings,
  port: number,
): Promise<{ process: SpawnedProcess; url: string }> {
  const file = join(folder, 'mirror.yml');
  const [first] = Object.keys(settings.upstreams);
  const upstreams = Object.entries(settings.upstreams).map(([key, url]) => [key, { url }]);
  const config = {
    http: { listen: `127.0.0.1:${port}`, drain: settings.drain ?? '30s' },
    store: { path: './data', min_free: 0 },
    upstreams: Object.fromEntries(upstreams),
    default_upstream: first,
    tags: { ttl: settings.tagsTtl },
  };
  await writeFile(file, stringify(config));
  const listening = (line: string) => (line.includes('"msg":"listening"') ? parseLine(line)?.url : undefined);
  const process = await startDaemon({
    place,
    argv: [globalThis.process.execPath, join(projectFolder, 'dist/main.js'), 'serve', '--config', file],
    ready: async started => started.lines.some(line => listening(line) !== undefined),
  });
  return { process, url: String(process.lines.map(listening).find(url => url !== undefined)) };
}

function parseRequest(line: string): MirrorRequest | undefined {
  const entry = parseLine(line);
  if (entry?.msg !== 'request') return undefined;
  const endedAt = Date.parse(String(entry.time));
  return {
    method: String(entry.method),
    path: String(entry.path),
    status: Number(entry.status),
    outcome: String(entry.outcome),
    userAgent: String(entry.userAgent),
    startedAt: endedAt - Number(entry.ms),
    endedAt,
  };
}

/** What the suites read of the mirror's log. */
interface LogLine {
  readonly msg?: unknown;
  readonly url?: unknown;
  readonly time?: unknown;
  readonly ms?: unknown;
  readonly method?: unknown;
  readonly path?: unknown;
  readonly status?: unknown;
  readonly outcome?: unknown;
  readonly userAgent?: unknown;
}

function parseLine(line: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined;
  const value: unknown = JSON.parse(line);
  return typeof value === 'object' && value !== null ? { ...value } : undefined;
}
