/**
 * What really reached an upstream, from the access logs of docker-registry and nginx (both write the combined format,
 * one line per request when it has ended). A request shows as `GET library/busybox/blobs/sha256:…`, `GET /v2/` for the
 * ping, and with `storage ` in front for the host that the registry redirects to.
 */
export interface UpstreamRequest {
  readonly method: string;
  /** As it came, with the query. */
  readonly target: string;
  readonly status: number;
  readonly bytes: number;
  readonly userAgent: string;
  readonly host: 'registry' | 'storage';
}

const line = /^\S+ \S+ \S+ \[[^\]]*\] "(\S+) (\S+) [^"]*" (\d+) (\d+|-) "[^"]*" "([^"]*)"/;

/** Undefined for a line that isn't of the format: other output of the daemon. */
export function parseAccessLine(text: string, host: UpstreamRequest['host']): UpstreamRequest | undefined {
  const [, method, target, status, bytes, userAgent = ''] = line.exec(text) ?? [];
  if (method === undefined || target === undefined) return undefined;
  return { method, target, status: Number(status), bytes: Number(bytes) || 0, userAgent, host };
}

export function formatRequest(request: UpstreamRequest): string {
  const stored = /^\/docker\/registry\/v2\/blobs\/(sha256|sha512)\/..\/([a-f0-9]+)\/data$/.exec(
    request.target,
  );
  if (stored) return `storage ${request.method} ${stored[1]}:${stored[2]}`;
  const rest = /^\/v2\/(.+)$/.exec(request.target);
  return `${request.host === 'storage' ? 'storage ' : ''}${request.method} ${rest?.[1] ?? request.target}`;
}
