/**
 * What is refused before any route looks at it: a request with two Host headers (RFC 9112 3.2: a proxy in front may have
 * gone by the other one), and a late request, which arrived during the drain.
 */
import type { IncomingMessage } from 'node:http';
import type { Middleware } from 'koa';
import { isApiTarget, parseEndpoint } from '../oci/endpoint.ts';
import { RegistryError } from '../oci/error.ts';
import type { AppState } from './exchange.ts';

export interface AdmissionOptions {
  /** The request arrived during the drain. Absent: none does. */
  readonly isLate?: (request: IncomingMessage) => boolean;
  /** Answered during the drain too. */
  readonly opsPaths: ReadonlySet<string>;
}

/** Errors: UNSUPPORTED (400) for two Host headers; for a late request UNAVAILABLE, of a blob BLOB_UNKNOWN. */
export function admit({ isLate = () => false, opsPaths }: AdmissionOptions): Middleware<AppState> {
  return (context, next) => {
    if (!hasOneHost(context.req)) {
      throw new RegistryError('UNSUPPORTED', {
        status: 400,
        message: 'the request has more than one Host header',
      });
    }
    if (isLate(context.req) && !opsPaths.has(context.path)) throw refuseLate(context.req);
    return next();
  };
}

/** None counts as one: that is decided where the host matters. Node itself keeps the first and drops the others. */
export function hasOneHost({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): boolean {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') count += 1;
  }
  return count <= 1;
}

/** A blob's 404 sends dockerd to its next source at once; it would ask for a 5xx again for a minute. */
function refuseLate({ method = '', url = '' }: IncomingMessage): RegistryError {
  const message = 'this mirror is stopping and takes no new requests';
  const isBlob = isApiTarget(url) && kindOf(method, url) === 'blob';
  return new RegistryError(isBlob ? 'BLOB_UNKNOWN' : 'UNAVAILABLE', { message });
}

function kindOf(method: string, url: string): string | undefined {
  try {
    return parseEndpoint(method, url).endpoint.kind;
  } catch (error) {
    if (error instanceof RegistryError) return undefined; // refused as any other request
    throw error;
  }
}
