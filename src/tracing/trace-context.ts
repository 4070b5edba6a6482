/**
 * The W3C `traceparent` of requests: read from clients, and written only for hosts of the own network, upstreams and nodes of the fleet alike:
 * at a private, link-local or loopback address, or a name that no public registry has. Any other host learns nothing.
 */
import { isIP } from 'node:net';
import { type SpanContext, TraceFlags } from '@opentelemetry/api';

const pattern = /^(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/;

/** Undefined: none, or one that breaks the rules, which counts as none. */
export function parseTraceParent(text: string | undefined): SpanContext | undefined {
  const [, traceId = '', spanId = '', flags = ''] = pattern.exec(text ?? '') ?? [];
  if (!/[^0]/.test(traceId) || !/[^0]/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
}

export function formatTraceParent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${traceFlags & TraceFlags.SAMPLED}`;
}

/** RFC 1918, 3927, 4193, 4291, 6598. */
const privateAddress =
  /^(?:10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|::1$|f[cd][\da-f]{2}:|fe[89ab][\da-f]:)/;
/** RFC 6761, 6762, 8375, and what private networks and clusters use. A single label has no public suffix. */
const privateName = /^(?:[^.]+|.+\.(?:localhost|local|lan|internal|home\.arpa|intranet|corp|svc))$/;

/** Whether the host of a URL is one of the own network, whatever DNS says of it. */
export function isOwnNetwork(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  return isIP(bare) === 0 ? privateName.test(bare) : privateAddress.test(bare);
}
