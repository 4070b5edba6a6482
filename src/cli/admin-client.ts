/**
 * How `stats`, `ls`, `refresh`, `evict`, `pin` and `unpin` reach the store of the configuration: through the daemon that has
 * it, over its owner.sock, or the store itself when no daemon runs. Errors become one line on standard error and an exit code.
 */
import type {
  Admin,
  EvictReport,
  ImportReport,
  ImportRequest,
  ListReport,
  PinReport,
  ReadOnlyReport,
  RefreshReport,
  RepairReport,
  ReplayReport,
  StatsReport,
  StatsWanted,
} from '../admin/admin.ts';
import type { GcReport, GcWanted } from '../admin/gc-report.ts';
import { type ImageHosts, imageHostsOf } from '../admin/image-name.ts';
import type { TagAdmin } from '../admin/tag-admin.ts';
import type { UsageReport } from '../admin/usage-report.ts';
import type { WarmEvent, WarmRequest } from '../admin/warm-admin.ts';
import type { Config } from '../config/config.ts';
import { type LoadOptions, loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import type { ScrubReport, ScrubRequest } from '../registry/scrub-report.ts';
import { type OwnerAddress, openOwnerAddress } from '../store/owner.ts';
import { isMissing, systemCodeOf } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { OnProgress } from '../telemetry/progress.ts';
import { DaemonBundles } from './bundle/daemon-bundles.ts';
import { asCommandError, CommandError } from './command-line.ts';
import { askDaemon } from './socket/ask-daemon.ts';
import type { ProgressStream } from './terminal/progress-reporter.ts';
import { explainRefusal, readAnswerLines } from './warm/answer-lines.ts';

export interface AdminOptions extends LoadOptions {
  /** One JSON document instead of text. */
  readonly json?: boolean;
  /** Both get whole lines. */
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Where long work shows how far it is; absent: nowhere. */
  readonly progressTo?: ProgressStream;
}

export interface AdminWork {
  /** It changes the store. */
  readonly isChange: boolean;
  /** Where there is no store yet, one is made. */
  readonly makesStore?: boolean;
  /** Checks the arguments before anything is asked or opened. Errors: NAME_INVALID and its like. */
  check?(hosts: ImageHosts): void;
  /** Resolves with the exit code. */
  run(admin: Admin, signal: AbortSignal): Promise<number>;
}

/** No socket is there, or a crash has left one. */
const noDaemonCodes: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'ENOTSOCK']);
/** Milliseconds until a silent daemon counts as one that can't be asked. A command itself may take longer. */
const findTimeoutMs = 5000;

/** Resolves with the exit code. */
export async function withAdmin(options: AdminOptions, work: AdminWork): Promise<number> {
  const { writeError } = options;
  try {
    const { config, warnings } = await loadConfig(options);
    for (const warning of warnings) writeError(`${warning}\n`);
    work.check?.(imageHostsOf(config));
    const { admin, close } = await openAdmin(config, work, warningsTo(writeError));
    try {
      return await work.run(admin, new AbortController().signal);
    } finally {
      await close();
    }
  } catch (error) {
    if (error instanceof ConfigError) {
      writeError(`${error.message}\n`);
      return 2;
    }
    const known = asCommandError(error);
    if (known === undefined) throw error;
    writeError(`error: ${known.message}\n`);
    return known.exitCode;
  }
}

/** One JSON document with `--json`, else text. */
export function writeReport<T>(
  { json, write }: AdminOptions,
  report: T,
  render: (report: T) => string,
): void {
  write(json === true ? `${JSON.stringify(report, null, 2)}\n` : render(report));
}

/** The daemon if one has the store, else the store. */
async function openAdmin(
  config: Config,
  { isChange, makesStore = false }: Pick<AdminWork, 'isChange' | 'makesStore'>,
  logger: Logger,
): Promise<{ readonly admin: Admin; close(): Promise<void> }> {
  const client = await DaemonClient.find(config.store.path);
  if (client !== undefined) return { admin: client, close: () => client.close() };
  const { openStoreAdmin } = await import('../app/store-admin.ts');
  return openStoreAdmin(config, { logger, isChange, makesStore });
}

/** The process of the daemon that has the store at `path`; undefined when none does, or it can't be asked. */
export async function findOwnerPid(path: string): Promise<number | undefined> {
  try {
    const address = await openOwnerAddress(path);
    try {
      const { body } = await askDaemon(address.path, 'GET', '/owner', { timeoutMs: findTimeoutMs });
      return Number(JSON.parse(body.toString()).pid) || undefined;
    } finally {
      await address.close();
    }
  } catch (error) {
    if (asCommandError(error) === undefined) throw error;
    return undefined;
  }
}

/** The commands as requests to a running daemon. */
class DaemonClient implements Admin {
  readonly tags: TagAdmin = {
    history: image => this.#ask('GET', `/api/v1/history?image=${encodeURIComponent(image)}`),
    restore: (image, wanted) => this.#ask('POST', '/api/v1/restore', { image, ...wanted }),
    promote: (from, to, platforms, { signal }) =>
      this.#ask('POST', '/api/v1/promote', { to, from, platforms }, signal),
    explainRetention: () => this.#ask('GET', '/api/v1/retention'),
  };
  readonly bundles: DaemonBundles;
  readonly #address: OwnerAddress;

  private constructor(address: OwnerAddress) {
    this.#address = address;
    this.bundles = new DaemonBundles(address.path);
  }

  /** Undefined: no daemon has the store at `path`. Errors: `CommandError` for a daemon that can't be asked. */
  static async find(path: string): Promise<DaemonClient | undefined> {
    let address: OwnerAddress;
    try {
      address = await openOwnerAddress(path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    try {
      await askDaemon(address.path, 'GET', '/owner', { timeoutMs: findTimeoutMs });
      return new DaemonClient(address);
    } catch (error) {
      await address.close();
      if (noDaemonCodes.has(systemCodeOf(error) ?? '')) return undefined;
      throw explain(error, path);
    }
  }

  stats({ clients = false, next = false }: StatsWanted = {}): Promise<StatsReport> {
    const wanted = [...(clients ? ['clients=1'] : []), ...(next ? ['next=1'] : [])].join('&');
    return this.#ask('GET', `/api/v1/stats${wanted === '' ? '' : `?${wanted}`}`);
  }

  list(pattern: string | undefined): Promise<ListReport> {
    return this.#ask(
      'GET',
      `/api/v1/images${pattern === undefined ? '' : `?pattern=${encodeURIComponent(pattern)}`}`,
    );
  }

  refresh(image: string): Promise<RefreshReport> {
    return this.#ask('POST', '/api/v1/refresh', { image });
  }

  evict(image: string): Promise<EvictReport> {
    return this.#ask('POST', '/api/v1/evict', { image });
  }

  pin(image: string): Promise<PinReport> {
    return this.#ask('POST', '/api/v1/pin', { image });
  }

  unpin(image: string): Promise<PinReport> {
    return this.#ask('POST', '/api/v1/unpin', { image });
  }

  importFolder(request: ImportRequest, signal: AbortSignal, onProgress?: OnProgress): Promise<ImportReport> {
    return this.#ask('POST', '/api/v1/import', request, signal, onProgress);
  }

  repair(repository: string | undefined): Promise<RepairReport> {
    return this.#ask('POST', '/api/v1/repair', repository === undefined ? {} : { repository });
  }

  replay(target: string): Promise<ReplayReport> {
    return this.#ask('POST', '/api/v1/notifications/replay', { target });
  }

  gc({ dryRun }: GcWanted, signal: AbortSignal, onProgress?: OnProgress): Promise<GcReport> {
    return this.#ask('POST', '/api/v1/gc', { dryRun }, signal, onProgress);
  }

  readOnly(readOnly: boolean | string | undefined): Promise<ReadOnlyReport> {
    return this.#ask('POST', '/api/v1/read-only', readOnly === undefined ? {} : { readOnly });
  }

  scrub(wanted: ScrubRequest, signal: AbortSignal, onProgress?: OnProgress): Promise<ScrubReport> {
    return this.#ask('POST', '/api/v1/scrub', wanted, signal, onProgress);
  }

  report(sinceMs: number, signal: AbortSignal): Promise<UsageReport> {
    return this.#ask('GET', `/api/v1/report?since=${sinceMs}`, undefined, signal);
  }

  warm(request: WarmRequest, signal: AbortSignal): AsyncIterable<WarmEvent> {
    return readAnswerLines(this.#address.path, '/api/v1/warm', request, signal);
  }

  close(): Promise<void> {
    return this.#address.close();
  }

  /** A report isn't checked: its fields don't change within `v1`. */
  async #ask<Report>(
    method: string,
    path: string,
    body?: object,
    stop?: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<Report> {
    const answer = await askDaemon(this.#address.path, method, path, { body, stop, onProgress });
    if (answer.status === 200) return JSON.parse(answer.body.toString());
    throw explainRefusal(answer.body);
  }
}

function explain(error: unknown, path: string): Error {
  const code = systemCodeOf(error) ?? '';
  const socket = `${path}/owner.sock`;
  if (code === 'EACCES' || code === 'EPERM') {
    return new CommandError(
      `no permission for ${socket}: run this command as the user that the daemon runs as`,
    );
  }
  if (code.startsWith('HPE_')) return new CommandError('the running daemon has an older version: restart it');
  const reason = error instanceof Error ? error.message : String(error);
  return new CommandError(`the daemon at ${socket} does not answer: ${reason}`);
}

/** Prints warnings and errors of a store that is read here, and nothing else. */
function warningsTo(writeError: (text: string) => void): Logger {
  const warn = (message: string, fields: object = {}) =>
    writeError(`warning: ${message} ${JSON.stringify(fields)}\n`);
  const logger: Logger = { debug: () => {}, info: () => {}, warn, error: warn, child: () => logger };
  return logger;
}
