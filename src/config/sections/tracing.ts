/** The `tracing` section: where traces go, and how many. Without an endpoint there are none, and nothing of OpenTelemetry is loaded. */
import { z } from 'zod';
import { refusal, ValueError } from '../problem.ts';
import { parsed } from '../schema-values.ts';

export interface TracingConfig {
  /** Of a receiver of OTLP over HTTP. http or https, without userinfo. */
  readonly endpoint: URL;
  /** Share of requests, 0 … 1. */
  readonly sample: number;
}

export const tracingSchema = z.strictObject({
  endpoint: parsed(parseEndpoint).optional(),
  sample: parsed(parseShare).prefault(1),
});

/** Undefined: no traces. */
export function assembleTracing({
  endpoint,
  sample,
}: z.output<typeof tracingSchema>): TracingConfig | undefined {
  return endpoint && { endpoint, sample };
}

function parseEndpoint(value: unknown): URL {
  const expected = 'a URL such as http://otel:4318';
  if (typeof value !== 'string' || !/^https?:\/\//i.test(value) || !URL.canParse(value))
    throw refusal(expected, value);
  const url = new URL(value);
  if (url.username !== '' || url.password !== '')
    throw new ValueError(`expected ${expected} without user and password`);
  url.hash = '';
  return url;
}

function parseShare(value: unknown): number {
  const share = typeof value === 'string' && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : value;
  if (typeof share === 'number' && share >= 0 && share <= 1) return share;
  throw refusal('a share from 0 to 1, such as 0.1', value);
}
