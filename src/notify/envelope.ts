/**
 * Events as registry:2 sends them to webhooks (`application/vnd.docker.distribution.events.v1+json`), and the signature that
 * tells a receiver that they are ours. What an event is called there: docs/notifications.md.
 */
import { createHmac } from 'node:crypto';
import type { Digest } from '../oci/digest.ts';
import { buildEndpoint } from '../oci/endpoint.ts';
import { octetStream } from '../oci/media-type.ts';
import { isTag, type Reference, type Tag } from '../oci/name.ts';
import type { EventOrigin, RegistryEvent } from '../telemetry/registry-events.ts';

export const envelopeType = 'application/vnd.docker.distribution.events.v1+json';
export const signatureHeader = 'X-Cistern-Signature';

/** One of `events` of an envelope. */
export interface Notification {
  readonly id: string;
  readonly timestamp: string;
  readonly action: 'push' | 'pull' | 'delete' | 'mount';
  readonly target: NotificationTarget;
  readonly request: {
    readonly id?: string;
    readonly addr?: string;
    readonly host?: string;
    readonly method?: string;
    readonly useragent?: string;
  };
  readonly actor: { readonly name?: string };
  readonly source: NotificationSource;
}

export interface NotificationTarget {
  readonly mediaType?: string;
  readonly digest?: Digest;
  /** Both are the bytes. */
  readonly size?: number;
  readonly length?: number;
  readonly repository: string;
  readonly fromRepository?: string;
  readonly url?: string;
  readonly tag?: Tag;
}

export interface NotificationSource {
  /** Host and port. */
  readonly addr: string;
  /** Of this run of the process. */
  readonly instanceID: string;
}

export interface EnvelopeOptions {
  readonly source: NotificationSource;
  /** For `url`; absent: the `Host` that the client asked. Without a trailing slash. */
  readonly publicUrl: string | undefined;
  /** Milliseconds since the epoch. */
  now(): number;
  newId(): string;
}

type Told = Pick<Notification, 'action' | 'target'>;

/** None for what registry:2 doesn't tell of; several for a push with several tags. */
export function toNotifications(event: RegistryEvent, options: EnvelopeOptions): readonly Notification[] {
  const { user, requestId, address, host, method, userAgent } = event.origin;
  const request = {
    ...(requestId !== undefined && { id: requestId }),
    ...(address !== undefined && { addr: address }),
    ...(host !== undefined && { host }),
    ...(method !== undefined && { method }),
    ...(userAgent !== undefined && { useragent: userAgent }),
  };
  const timestamp = new Date(options.now()).toISOString();
  return targetsOf(event, baseUrlOf(event.origin, options.publicUrl)).map(told => ({
    id: options.newId(),
    timestamp,
    ...told,
    request,
    actor: user === undefined ? {} : { name: user },
    source: options.source,
  }));
}

export function formatEnvelope(notifications: readonly unknown[]): Buffer {
  return Buffer.from(JSON.stringify({ events: notifications }));
}

/** Over the bytes of the body. */
export function sign(body: Buffer, secret: string): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
}

function targetsOf(event: RegistryEvent, base: string | undefined): readonly Told[] {
  const { repository } = event;
  switch (event.type) {
    case 'manifest-pulled':
    case 'manifest-pushed': {
      const { mediaType, digest, size } = event.descriptor;
      const target = { mediaType, digest, size, length: size, repository, ...urlOf(base, event, digest) };
      if (event.type === 'manifest-pulled')
        return [{ action: 'pull', target: withTag(target, event.reference) }];
      if (event.tags.length === 0) return [{ action: 'push', target }];
      return event.tags.map(tag => ({ action: 'push', target: { ...target, tag } }));
    }
    case 'blob-pushed': {
      const { digest, size, how, from } = event;
      const target = {
        mediaType: octetStream,
        digest,
        size,
        length: size,
        repository,
        ...(from !== undefined && { fromRepository: from }),
        ...urlOf(base, event, digest),
      };
      return [{ action: how === 'mount' ? 'mount' : 'push', target }];
    }
    case 'restored':
      return [{ action: 'push', target: withTag({ digest: event.digest, repository }, event.reference) }];
    case 'manifest-deleted':
    case 'blob-deleted':
      return [{ action: 'delete', target: { digest: event.digest, repository } }];
    case 'tag-deleted':
      return [{ action: 'delete', target: { repository, tag: event.tag } }];
    case 'tag-moved':
      return []; // its push or its delete tells of it
  }
}

function withTag(target: NotificationTarget, reference: Reference): NotificationTarget {
  return isTag(reference) ? { ...target, tag: reference } : target;
}

function urlOf(
  base: string | undefined,
  { repository, type }: RegistryEvent,
  digest: Digest,
): { readonly url?: string } {
  if (base === undefined) return {};
  const endpoint =
    type === 'blob-pushed'
      ? ({ kind: 'blob', name: repository, digest } as const)
      : ({ kind: 'manifest', name: repository, reference: digest } as const);
  return { url: base + buildEndpoint(endpoint) };
}

function baseUrlOf({ host }: EventOrigin, publicUrl: string | undefined): string | undefined {
  return publicUrl ?? (host === undefined ? undefined : `http://${host}`);
}
