/**
 * Requests to /api/v1. An answer that is no success becomes an `ApiError` with the registry's code and sentence, which the views
 * show as they are. Cookies go along, and the browser adds the Origin that changes need.
 */

export const apiRoot = '/api/v1/';

export class ApiError extends Error {
  /** 0: there was no answer. */
  readonly status: number;
  /** Of the registry (`DENIED`), or `UNREACHABLE`. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
  }
}

export type ApiQuery = Readonly<Record<string, string | number | boolean | undefined>>;

/** One page of a list. */
export interface ApiPage<T> {
  readonly value: T;
  /** To be given as `last` for the next page; undefined: this was the last one. */
  readonly next: string | undefined;
}

/** Errors: `ApiError`, and what `signal` aborts with. */
export async function read<T>(path: string, query: ApiQuery, signal: AbortSignal): Promise<T> {
  return (await ask<T>(withQuery(path, query), { signal })).value;
}

/** Errors: as `read`. */
export async function readPage<T>(path: string, query: ApiQuery, signal: AbortSignal): Promise<ApiPage<T>> {
  return await ask<T>(withQuery(path, query), { signal });
}

/** Errors: as `read`. */
export async function send<T>(
  method: 'POST' | 'DELETE',
  path: string,
  body: object | undefined,
  signal?: AbortSignal,
): Promise<T> {
  const answer = await ask<T>(apiRoot + path, {
    method,
    ...(body !== undefined && {
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }),
    ...(signal && { signal }),
  });
  return answer.value;
}

export function withQuery(path: string, query: ApiQuery): string {
  const filled = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === '' || value === false ? [] : [[name, String(value)]],
  );
  const search = new URLSearchParams(filled).toString();
  // A path that begins with a slash is no part of the API.
  return `${path.startsWith('/') ? '' : apiRoot}${path}${search === '' ? '' : `?${search}`}`;
}

async function ask<T>(url: string, init: RequestInit): Promise<ApiPage<T>> {
  const response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', ...init }).catch(
    describeFailure,
  );
  const text = await response.text().catch(describeFailure);
  const body = parseJson(text);
  if (!response.ok) throw errorOf(response.status, body);
  // The server types its answers by the same schema.
  return { value: body as T, next: nextOf(response.headers.get('Link')) };
}

/** `</api/v1/images?n=50&last=x>; rel="next"`: the `last` in it. */
export function nextOf(link: string | null): string | undefined {
  const [, target] = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? '') ?? [];
  if (target === undefined) return undefined;
  return new URLSearchParams(target.slice(target.indexOf('?') + 1)).get('last') ?? undefined;
}

/** A fetch that was aborted by its caller keeps its error; all others mean that the mirror can't be reached. */
function describeFailure(error: unknown): never {
  if (error instanceof DOMException && error.name === 'AbortError') throw error;
  throw new ApiError(0, 'UNREACHABLE', 'the mirror does not answer');
}

function parseJson(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined; // a proxy's page: the status says enough
  }
}

function errorOf(status: number, body: unknown): ApiError {
  const [first] = isObject(body) && Array.isArray(body['errors']) ? body['errors'] : [];
  const { code, message } = isObject(first) ? first : {};
  return new ApiError(
    status,
    typeof code === 'string' ? code : 'UNKNOWN',
    typeof message === 'string' && message !== '' ? message : `the mirror answered with status ${status}`,
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
