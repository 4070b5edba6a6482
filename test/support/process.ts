/**
 * Child processes of tests: start, wait for a line of JSON or text, signal by pid, collect what they print. Whatever the
 * test does, the child is dead when the test ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';
import { deferred } from './gates.ts';

export interface SpawnOptions {
  readonly cwd?: string;
  /** Instead of this process' environment. */
  readonly env?: NodeJS.ProcessEnv;
  /** Its own process group, for children that start children: signals then go to the group. */
  readonly group?: boolean;
}

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Starts it for the running test: killed at its end. `spawnProcess(process.execPath, ['dist/main.js', 'serve'])` */
export function spawnProcess(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): SpawnedProcess {
  const spawned = new SpawnedProcess(command, args, options);
  onTestFinished(() => spawned.stop('SIGKILL').then(() => {}));
  return spawned;
}

export class SpawnedProcess {
  /** Resolves when it has ended and all its output is read. Rejects when it could not be started. */
  readonly exited: Promise<ExitStatus>;
  /** All lines so far, of both streams. */
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #group: boolean;
  readonly #listeners = new Set<(line: string) => void>();

  /** Without a test around: the caller stops it. */
  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.#name = [command, ...args].join(' ');
    this.#group = options.group === true;
    const { cwd, env = process.env } = options;
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
    this.#child = spawn(command, args, {
      ...(cwd !== undefined && { cwd }),
      env,
      detached: this.#group,
      stdio,
    });
    const exited = deferred<ExitStatus>();
    this.exited = exited.promise;
    this.exited.catch(() => {});
    this.#child.once('error', exited.reject);
    this.#child.once('close', (code, signal) => exited.resolve({ code, signal }));
    for (const stream of [this.#child.stdout, this.#child.stderr]) if (stream !== null) this.#read(stream);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`not started: ${this.#name}`);
    return this.#child.pid;
  }

  get output(): string {
    return this.lines.join('\n');
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined;
  }

  /** The first line, also of those printed before, for which `find` gives something. Rejects when it ends without. */
  async waitFor<T>(find: (line: string) => T | undefined, what = 'the line waited for'): Promise<T> {
    for (const line of this.lines) {
      const found = find(line);
      if (found !== undefined) return found;
    }
    const wanted = deferred<T>();
    const listener = (line: string) => {
      const found = find(line);
      if (found !== undefined) wanted.resolve(found);
    };
    this.#listeners.add(listener);
    const ended = this.exited.then(({ code, signal }) => {
      throw new Error(`expected ${what}, but ${this.#name} ended (${signal ?? code}):\n${this.output}`);
    });
    return Promise.race([wanted.promise, ended]).finally(() => this.#listeners.delete(listener));
  }

  /** The first JSON line with this `msg`; the ready line of the daemon is `listening`, with `url` and `pid`. */
  waitForMessage(message: string): Promise<Readonly<Record<string, unknown>>> {
    return this.waitFor(
      line => {
        const record = parseRecord(line);
        return record?.msg === message ? record : undefined;
      },
      `a JSON line with msg ${JSON.stringify(message)}`,
    );
  }

  /** Sends it, to the whole group if it has one. Nothing happens when no process is left. */
  signal(signal: NodeJS.Signals): void {
    if (!this.running && !this.#group) return;
    try {
      process.kill(this.#group ? -this.pid : this.pid, signal);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }

  /** Signals and waits for the end. A process that was stopped by SIGSTOP is continued. Idempotent. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<ExitStatus> {
    if (this.#child.pid === undefined) return { code: null, signal: null };
    this.signal(signal);
    this.signal('SIGCONT');
    return this.exited;
  }

  /** Highest resident memory so far (VmHWM) in bytes. */
  peakMemoryBytes(): number {
    return memoryBytes(this.pid, 'VmHWM');
  }

  #read(stream: Readable): void {
    createInterface({ input: stream }).on('line', line => {
      this.lines.push(line);
      for (const listener of this.#listeners) listener(line);
    });
  }
}

/** `VmHWM` (peak) or `VmRSS` (now) of a process from /proc, in bytes. */
export function memoryBytes(pid: number | 'self', field: 'VmHWM' | 'VmRSS'): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (found === null) throw new Error(`expected ${field} in /proc/${pid}/status`);
  return Number(found[1]) * 1024;
}

function parseRecord(
  line: string,
): (Readonly<Record<string, unknown>> & { readonly msg?: unknown }) | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
