/**
 * The exact, ordered list of requests that reached the fake upstream, over all its hosts, in order of arrival.
 *
 * `bodyBytesSent` counts payload bytes (no headers, no chunk framing) that the kernel has accepted into the socket's
 * send buffer; it grows while the body is sent. Of a connection that breaks, a last chunk of up to 64 KiB which was
 * accepted in part is not counted; what the kernel accepted and the peer never read is. So after a cut by the
 * upstream it is exact, and after the peer left it can be above what the peer read by the size of the socket buffers.
 */
import type { Digest } from '../../src/oci/digest.ts';
import { deferred } from './gates.ts';

export type RequestKind = 'ping' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'other';
/** `registry` is the upstream itself, `storage` where its blobs are redirected to, `token` its token endpoint. */
export type HostRole = 'registry' | 'storage' | 'token';

export interface RequestEntry {
  readonly host: HostRole;
  readonly kind: RequestKind;
  readonly method: string;
  /** As it came, with the query. */
  readonly path: string;
  readonly repository?: string;
  /** Tag or digest. */
  readonly reference?: string;
  readonly range?: string;
  readonly authorization: 'none' | 'basic' | 'bearer' | 'other';
  /** All request headers, names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** 0 while no status line was sent. */
  readonly status: number;
  readonly bodyBytesSent: number;
}

/** What the hosts fill in after the arrival. */
export interface OpenEntry extends RequestEntry {
  status: number;
  bodyBytesSent: number;
}

export interface LineOptions {
  /** Only this host; without it all hosts, the others than `registry` with their name in front. */
  readonly host?: HostRole;
  /** With the status in front: `206 GET blobs/…`. */
  readonly status?: boolean;
  /** With the repository: `GET library/alpine blobs/…`. */
  readonly repository?: boolean;
}

export class RequestLog {
  readonly #entries: OpenEntry[] = [];
  readonly #waiters = new Set<() => void>();

  get entries(): readonly RequestEntry[] {
    return this.#entries;
  }

  /** `GET blobs/sha256:0123456789ab… bytes=100-`, `HEAD manifests/latest`, `GET /v2/`, `token GET /token`. */
  lines(options: LineOptions = {}): string[] {
    return this.#entries
      .filter(entry => options.host === undefined || entry.host === options.host)
      .map(entry => formatEntry(entry, options));
  }

  clear(): void {
    this.#entries.length = 0;
  }

  /** Sum of `bodyBytesSent` of the answers with 200 and 206, that is of content and never of error bodies. */
  contentBytes(kind: RequestKind, digest?: Digest): number {
    return this.#entries
      .filter(entry => entry.kind === kind && (entry.status === 200 || entry.status === 206))
      .filter(entry => digest === undefined || entry.reference === digest)
      .reduce((sum, entry) => sum + entry.bodyBytesSent, 0);
  }

  /** Resolves as soon as the condition holds; it is looked at on each arrival, status line and chunk. */
  async until(condition: (entries: readonly RequestEntry[]) => boolean): Promise<void> {
    while (!condition(this.#entries)) {
      const { promise, resolve } = deferred();
      this.#waiters.add(resolve);
      await promise;
      this.#waiters.delete(resolve);
    }
  }

  add(entry: OpenEntry): void {
    this.#entries.push(entry);
    this.changed();
  }

  changed(): void {
    for (const wake of this.#waiters) wake();
  }
}

/** The digest as `lines()` shows it: algorithm and twelve digits. */
export function shortDigest(digest: string): string {
  const [algorithm, hex] = digest.split(':');
  return hex === undefined ? digest : `${algorithm}:${hex.slice(0, 12)}…`;
}

/** The line of a blob request as `lines()` shows it; `range` such as `bytes=100-`. */
export function blobLine(digest: string, range?: string, method = 'GET'): string {
  return `${method} blobs/${shortDigest(digest)}${range === undefined ? '' : ` ${range}`}`;
}

/** The line of a manifest request as `lines()` shows it. */
export function manifestLine(reference: string, method = 'GET'): string {
  return `${method} manifests/${shortDigest(reference)}`;
}

function formatEntry(entry: RequestEntry, options: LineOptions): string {
  const host = entry.host === 'registry' || options.host !== undefined ? '' : `${entry.host} `;
  const status = options.status === true ? `${entry.status} ` : '';
  const repository =
    options.repository === true && entry.repository !== undefined ? `${entry.repository} ` : '';
  const range = entry.range === undefined ? '' : ` ${entry.range}`;
  return `${host}${status}${entry.method} ${repository}${formatTarget(entry)}${range}`;
}

function formatTarget(entry: RequestEntry): string {
  const query = entry.path.includes('?') ? entry.path.slice(entry.path.indexOf('?')) : '';
  const reference = entry.reference === undefined ? '' : shortDigest(entry.reference);
  if (entry.kind === 'token') return '/token';
  // The query of a signed URL is never the same twice.
  if (entry.kind === 'blob') return `blobs/${reference}${entry.host === 'storage' ? '' : query}`;
  if (entry.kind === 'manifest') return `manifests/${reference}${query}`;
  if (entry.kind === 'tags') return `tags/list${query}`;
  if (entry.kind === 'referrers') return `referrers/${reference}${query}`;
  return entry.path;
}
