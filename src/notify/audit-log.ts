/**
 * The audit log: one JSON line per push, delete, tag move, restore, failed login, denial and command of an administrator.
 * Every line has the same fields (docs/notifications.md), null where there is nothing to say. Pulls are in the access log.
 */
import { isDigest } from '../oci/digest.ts';
import type { AuditedAct, RegistryEvent } from '../telemetry/registry-events.ts';

/** Public: the names of the fields never change. */
export interface AuditLine {
  /** ISO 8601. */
  readonly time: string;
  readonly action: string;
  /** The login name; null: anonymous, or a command on this machine. */
  readonly user: string | null;
  /** The client's; null: a command on this machine, or the daemon itself. */
  readonly address: string | null;
  readonly repository: string | null;
  /** A tag, or what the client wrote instead of one. */
  readonly reference: string | null;
  readonly digest: string | null;
  readonly requestId: string | null;
  /** `ok`, or a code of the table of errors. */
  readonly result: string;
}

/** In characters: what a client wrote may be long. */
const maxTextLength = 512;

/** Undefined: no matter of the audit log. */
export function toAuditLine(event: RegistryEvent | AuditedAct, nowMs: number): AuditLine | undefined {
  const told = describe(event);
  if (told === undefined) return undefined;
  const { user, address, requestId } = event.origin;
  return {
    time: new Date(nowMs).toISOString(),
    action: told.action,
    user: user ?? null,
    address: address ?? null,
    repository: told.repository ?? null,
    reference: told.reference?.slice(0, maxTextLength) ?? null,
    digest: told.digest ?? null,
    requestId: requestId ?? null,
    result: told.result ?? 'ok',
  };
}

interface Told {
  readonly action: string;
  readonly repository?: string;
  readonly reference?: string;
  readonly digest?: string;
  readonly result?: string;
}

function describe(event: RegistryEvent | AuditedAct): Told | undefined {
  switch (event.type) {
    case 'manifest-pulled':
      return undefined;
    case 'manifest-pushed': {
      const { repository, reference, descriptor } = event;
      return { action: 'push', repository, digest: descriptor.digest, ...named(reference) };
    }
    case 'blob-pushed':
      return {
        action: event.how === 'mount' ? 'mount' : 'push',
        repository: event.repository,
        digest: event.digest,
      };
    case 'tag-moved': {
      const { repository, tag, to } = event;
      return { action: 'tag', repository, reference: tag, ...(to !== undefined && { digest: to }) };
    }
    case 'manifest-deleted':
    case 'blob-deleted':
      return { action: 'delete', repository: event.repository, digest: event.digest };
    case 'tag-deleted':
      return { action: 'delete', repository: event.repository, reference: event.tag };
    case 'restored':
      return {
        action: 'restore',
        repository: event.repository,
        digest: event.digest,
        ...named(event.reference),
      };
    case 'login-failed':
      return { action: 'login', result: event.result };
    case 'denied': {
      const { wanted, repository, reference, result } = event;
      return { action: wanted, result, ...(repository !== undefined && { repository }), ...named(reference) };
    }
    case 'administered': {
      const { action, target, result } = event;
      return { action, result, ...(target !== undefined && { reference: target }) };
    }
  }
}

/** A digest has a field of its own. */
function named(reference: string | undefined): Pick<Told, 'reference' | 'digest'> {
  if (reference === undefined) return {};
  return isDigest(reference) ? { digest: reference } : { reference };
}
