/**
 * The commands asked of a running daemon, over its owner.sock. It finds out whether there is one: a socket that is missing
 * or that nobody answers on means none.
 */
import { request } from 'node:http';
import type {
  Admin,
  EvictReport,
  ListReport,
  PinReport,
  RefreshReport,
  StatsReport,
} from '../admin/admin.ts';
import { parseErrorBody } from '../oci/error.ts';
import { type OwnerAddress, openOwnerAddress } from '../store/owner.ts';
import { isMissing, systemCodeOf } from '../store/store-error.ts';
import { CommandError } from './command-error.ts';

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** A path that is no socket, or one that a crash has left. */
const nobodyCodes: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'ENOTSOCK']);
/** It exists but is stopped. A command itself may take longer: a check waits for its upstream. */
const findMs = 5000;

export class DaemonClient implements Admin {
  readonly #address: OwnerAddress;

  private constructor(address: OwnerAddress) {
    this.#address = address;
  }

  /** Undefined: no daemon has the store at `path`. Errors: `CommandError` when the one that has it can't be asked. */
  static async find(path: string): Promise<DaemonClient | undefined> {
    let address: OwnerAddress;
    try {
      address = await openOwnerAddress(path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    try {
      await send(address.path, 'GET', '/owner', { timeoutMs: findMs });
      return new DaemonClient(address);
    } catch (error) {
      await address.close();
      if (nobodyCodes.has(systemCodeOf(error) ?? '')) return undefined;
      throw explain(error, path);
    }
  }

  stats(): Promise<StatsReport> {
    return this.#ask('GET', '/api/v1/stats');
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

  close(): Promise<void> {
    return this.#address.close();
  }

  /** The reports are the daemon's word, and it is of this program: their fields don't change within `v1`. */
  async #ask<Report>(method: string, path: string, body?: object): Promise<Report> {
    const answer = await send(this.#address.path, method, path, { body });
    if (answer.status === 200) return JSON.parse(answer.body.toString());
    const error = parseErrorBody(answer.body);
    if (error !== undefined) throw new CommandError(error.message, error.code);
    throw new CommandError(
      'the process that has the store answers no commands now: it starts, stops, or is a command',
    );
  }
}

function explain(error: unknown, path: string): Error {
  const code = systemCodeOf(error) ?? '';
  const socket = `${path}/owner.sock`;
  if (code === 'EACCES' || code === 'EPERM') {
    return new CommandError(`${socket} is for the user alone whom the daemon runs as: run this as that user`);
  }
  if (code.startsWith('HPE_'))
    return new CommandError('the running daemon is of an older version: restart it');
  const reason = error instanceof Error ? error.message : String(error);
  return new CommandError(`the daemon at ${socket} does not answer: ${reason}`);
}

function send(
  socketPath: string,
  method: string,
  path: string,
  { body, timeoutMs }: { readonly body?: object | undefined; readonly timeoutMs?: number } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = payload === undefined ? {} : { 'Content-Type': 'application/json' };
    const signal = timeoutMs === undefined ? {} : { signal: AbortSignal.timeout(timeoutMs) };
    const asked = request({ socketPath, method, path, headers, agent: false, ...signal }, response => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      response.on('error', reject);
    });
    asked.on('error', reject);
    asked.end(payload);
  });
}
