/**
 * Where a redirect leads and what goes along (RFC 9110 15.4). Registries send blobs to signed URLs of a store; what was
 * sent along to the registry must not reach the store, and nothing that came by https goes on without it.
 */
import { DialRefusal, hostAndPort } from '../transport/dial.ts';

export const maxRedirects = 5;

const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Known to the upstream's own host and port only. */
const privateHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie']);

export function isRedirect(status: number): boolean {
  return redirectStatuses.has(status);
}

/** Errors: `DialRefusal` for a target that can't be read, another scheme, or a step from https to http. */
export function redirectTarget(from: URL, location: string | undefined): URL {
  const target =
    location !== undefined && URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (target === undefined)
    throw new DialRefusal(`expected a redirect with a Location, got none from ${from.host}`);
  if (target.protocol !== 'https:' && target.protocol !== 'http:') {
    throw new DialRefusal(`expected a redirect to http or https, got ${target.protocol}`);
  }
  if (from.protocol === 'https:' && target.protocol === 'http:') {
    throw new DialRefusal(`expected a redirect that stays on https, got http://${target.host}`);
  }
  target.username = '';
  target.password = '';
  return target;
}

/** The headers for `target`: all of them on the upstream's own host and port, elsewhere without what is private. */
export function headersFor(
  target: URL,
  own: URL,
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (hostAndPort(target) === hostAndPort(own)) return headers;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !privateHeaders.has(name)));
}
