import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { toAuditLine } from '../../../src/notify/audit-log.ts';
import { formatEnvelope, sign, toNotifications } from '../../../src/notify/envelope.ts';
import { parseDigest } from '../../../src/oci/digest.ts';
import { parseTag } from '../../../src/oci/name.ts';
import type { AuditedAct, RegistryEvent } from '../../../src/telemetry/registry-events.ts';

const digest = parseDigest(`sha256:${'a'.repeat(64)}`);
const descriptor = { mediaType: 'application/vnd.oci.image.index.v1+json', digest, size: 7 };
const origin = {
  user: 'alice',
  address: '10.0.0.1',
  requestId: 'r1',
  method: 'PUT',
  host: 'mirror.lan:5000',
  userAgent: 'docker/27',
};
const repository = 'team/app';
const tag = parseTag('v1');

function told(event: RegistryEvent, publicUrl?: string) {
  let ids = 0;
  const source = { addr: 'host:5000', instanceID: 'i' };
  return toNotifications(event, { source, publicUrl, now: () => 0, newId: () => `id${++ids}` });
}

test('a push has every field that registry:2 sends', () => {
  const event = {
    type: 'manifest-pushed',
    origin,
    repository,
    reference: tag,
    descriptor,
    tags: [tag],
  } as const;
  expect(told(event)).toEqual([
    {
      id: 'id1',
      timestamp: '1970-01-01T00:00:00.000Z',
      action: 'push',
      target: {
        mediaType: descriptor.mediaType,
        digest,
        size: 7,
        length: 7,
        repository,
        url: `http://mirror.lan:5000/v2/team/app/manifests/${digest}`,
        tag,
      },
      request: { id: 'r1', addr: '10.0.0.1', host: 'mirror.lan:5000', method: 'PUT', useragent: 'docker/27' },
      actor: { name: 'alice' },
      source: { addr: 'host:5000', instanceID: 'i' },
    },
  ]);
});

test.each<[string, RegistryEvent, readonly (readonly [string, object])[]]>([
  [
    'a push with two tags',
    {
      type: 'manifest-pushed',
      origin: {},
      repository,
      reference: tag,
      descriptor,
      tags: [tag, parseTag('v2')],
    },
    [
      ['push', { digest, tag }],
      ['push', { digest, tag: 'v2' }],
    ],
  ],
  [
    'a push by digest',
    { type: 'manifest-pushed', origin: {}, repository, reference: digest, descriptor, tags: [] },
    [['push', { digest }]],
  ],
  [
    'a pull by tag',
    { type: 'manifest-pulled', origin: {}, repository, reference: tag, descriptor },
    [['pull', { digest, tag }]],
  ],
  [
    'an uploaded blob',
    { type: 'blob-pushed', origin: {}, repository, digest, size: 3, how: 'upload' },
    [['push', { digest, mediaType: 'application/octet-stream', length: 3 }]],
  ],
  [
    'a mounted blob',
    { type: 'blob-pushed', origin: {}, repository, digest, size: 3, how: 'mount', from: 'other' },
    [['mount', { digest, fromRepository: 'other' }]],
  ],
  ['a deleted tag', { type: 'tag-deleted', origin: {}, repository, tag }, [['delete', { tag }]]],
  [
    'a deleted manifest',
    { type: 'manifest-deleted', origin: {}, repository, digest },
    [['delete', { digest }]],
  ],
  ['a deleted blob', { type: 'blob-deleted', origin: {}, repository, digest }, [['delete', { digest }]]],
  [
    'a restored tag',
    { type: 'restored', origin: {}, repository, reference: tag, digest },
    [['push', { tag, digest }]],
  ],
  [
    'a moved tag, which its push tells of',
    { type: 'tag-moved', origin: {}, repository, tag, how: 'push' },
    [],
  ],
])('%s', (_name, event, expected) => {
  const notifications = told(event);
  expect(notifications.map(({ action }) => action)).toEqual(expected.map(([action]) => action));
  for (const [index, [, target]] of expected.entries())
    expect(notifications[index]?.target).toMatchObject({ repository, ...target });
  expect(notifications[0]?.target ?? {}).not.toHaveProperty('url'); // no Host, no public_url
});

test('public_url goes before the Host of the client', () => {
  const event = { type: 'blob-pushed', origin, repository, digest, size: 3, how: 'upload' } as const;
  expect(told(event, 'https://mirror.lan')[0]?.target.url).toBe(
    `https://mirror.lan/v2/team/app/blobs/${digest}`,
  );
});

test('the signature is the HMAC of the bytes', () => {
  const body = formatEnvelope([{ id: 'ü' }]);
  expect(JSON.parse(body.toString())).toEqual({ events: [{ id: 'ü' }] });
  expect(sign(body, 's')).toBe(`sha256=${createHmac('sha256', 's').update(body).digest('hex')}`);
});

const audited: readonly (readonly [RegistryEvent | AuditedAct, object | undefined])[] = [
  [{ type: 'manifest-pulled', origin, repository, reference: tag, descriptor }, undefined],
  [
    { type: 'manifest-pushed', origin, repository, reference: tag, descriptor, tags: [tag] },
    { action: 'push', repository, reference: 'v1', digest },
  ],
  [
    { type: 'blob-pushed', origin, repository, digest, size: 3, how: 'mount' },
    { action: 'mount', repository, digest },
  ],
  [
    { type: 'tag-moved', origin, repository, tag, to: digest, how: 'push' },
    { action: 'tag', repository, reference: 'v1', digest },
  ],
  [
    { type: 'tag-deleted', origin, repository, tag },
    { action: 'delete', repository, reference: 'v1' },
  ],
  [
    { type: 'manifest-deleted', origin, repository, digest },
    { action: 'delete', repository, digest },
  ],
  [
    { type: 'restored', origin, repository, reference: tag, digest },
    { action: 'restore', repository, reference: 'v1', digest },
  ],
  [
    { type: 'login-failed', origin, result: 'UNAUTHORIZED' },
    { action: 'login', result: 'UNAUTHORIZED' },
  ],
  [
    { type: 'denied', origin, wanted: 'push', repository, reference: digest, result: 'DENIED' },
    { action: 'push', repository, digest, result: 'DENIED' },
  ],
  [
    { type: 'administered', origin, action: 'evict', target: 'busybox', result: 'MANIFEST_UNKNOWN' },
    { action: 'evict', reference: 'busybox', result: 'MANIFEST_UNKNOWN' },
  ],
];

test.each(audited.map(([event, expected]) => ({ type: event.type, event, expected })))(
  'the line of $type in the audit log has all fields',
  ({ event, expected }) => {
    const all = { repository: null, reference: null, digest: null, result: 'ok' };
    const who = { time: '1970-01-01T00:00:00.000Z', user: 'alice', address: '10.0.0.1', requestId: 'r1' };
    expect(toAuditLine(event, 0)).toEqual(expected && { ...who, ...all, ...expected });
  },
);
