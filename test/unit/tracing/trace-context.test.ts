/** The `traceparent` header, and which hosts count as the own network. */
import { expect, test } from 'vitest';
import { formatTraceParent, isOwnNetwork, parseTraceParent } from '../../../src/tracing/trace-context.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';

test.each([
  [`00-${traceId}-${spanId}-01`, 1],
  [`00-${traceId}-${spanId}-00`, 0],
  [`00-${traceId}-${spanId}-ff`, 1], // flags of later versions
  [`01-${traceId}-${spanId}-01-more`, 1], // a later version
])('%s is read', (text, traceFlags) => {
  expect(parseTraceParent(text)).toEqual({ traceId, spanId, traceFlags, isRemote: true });
});

test.each([
  undefined,
  '',
  'no traceparent',
  `ff-${traceId}-${spanId}-01`,
  `00-${traceId.toUpperCase()}-${spanId}-01`,
  `00-${'0'.repeat(32)}-${spanId}-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `00-${traceId}-${spanId}`,
  `00-${traceId}-${spanId}-1`,
  ` 00-${traceId}-${spanId}-01`,
])('%j counts as none', text => {
  expect(parseTraceParent(text)).toBeUndefined();
});

test('what is written is read back', () => {
  const context = { traceId, spanId, traceFlags: 1 };
  expect(parseTraceParent(formatTraceParent(context))).toEqual({ ...context, isRemote: true });
});

test.each([
  '127.0.0.1',
  '10.1.2.3',
  '172.16.0.1',
  '172.31.255.1',
  '192.168.1.1',
  '169.254.0.1',
  '100.64.0.1',
  '[::1]',
  '[fd00::1]',
  '[fe80::1]',
  'localhost',
  'registry',
  'mirror.lan',
  'cistern.default.svc',
  'harbor.corp',
  'a.b.internal',
  'MIRROR.local',
])('%s is of the own network', host => {
  expect(isOwnNetwork(host)).toBe(true);
});

test.each([
  'registry-1.docker.io',
  'ghcr.io',
  'registry.test',
  'lan.example.com',
  'evil.lan.com',
  '8.8.8.8',
  '172.32.0.1',
  '100.128.0.1',
  '11.0.0.1',
  '[2001:db8::1]',
  '',
])('%j is not', host => {
  expect(isOwnNetwork(host)).toBe(false);
});
