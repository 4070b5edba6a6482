/**
 * What happened to the content of this registry, for those who are told of it: webhooks (`notifications`) and the audit log.
 * The room where something happens reports it once, after it is durable or refused. A listener does no I/O before it
 * returns and never throws, so that telling never delays or fails a request.
 */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import type { Reference, Tag } from '../oci/name.ts';

/** Who caused an event. Empty: the daemon itself (a collection, retention). */
export interface EventOrigin {
  /** The login name; undefined: anonymous. */
  readonly user?: string;
  /** The client's address; undefined: a command over the admin socket. */
  readonly address?: string;
  readonly requestId?: string;
  readonly method?: string;
  /** The request's `Host`. */
  readonly host?: string;
  readonly userAgent?: string;
}

/** Canonical: `docker.io/library/alpine`; that of a hosted repository has no host. */
type CanonicalName = string;

/** What a request asked for, for the audit of its refusal. */
export interface AskedFor {
  readonly wanted: 'pull' | 'push' | 'delete' | 'admin';
  /** Canonical once it was found, as the client wrote it before. */
  readonly repository?: string;
  readonly reference?: string;
}

export type RegistryChange =
  | {
      /** A client was given the manifest: a GET that was answered with its bytes. HEAD is no pull. */
      readonly type: 'manifest-pulled';
      readonly reference: Reference;
      readonly descriptor: Descriptor;
    }
  | {
      readonly type: 'manifest-pushed';
      readonly reference: Reference;
      readonly descriptor: Descriptor;
      /** All tags that point to it because of this push. Each of them is a `tag-moved` of its own, too. */
      readonly tags: readonly Tag[];
    }
  | {
      /** Uploaded, or mounted: then `from` names the repository that it came from, if the client did. */
      readonly type: 'blob-pushed';
      readonly digest: Digest;
      /** Bytes. */
      readonly size: number;
      readonly how: 'upload' | 'mount';
      readonly from?: CanonicalName;
    }
  | {
      /** `from` undefined: the tag is new, or the reporter does not know. `to` undefined: it is gone. */
      readonly type: 'tag-moved';
      readonly tag: Tag;
      readonly from?: Digest;
      readonly to?: Digest;
      readonly how: 'push' | 'delete' | 'restore' | 'promote' | 'retention' | 'import';
    }
  | {
      /** By its digest, with its tags. */
      readonly type: 'manifest-deleted';
      readonly digest: Digest;
    }
  | { readonly type: 'tag-deleted'; readonly tag: Tag }
  | {
      /** The link of this repository is gone. */
      readonly type: 'blob-deleted';
      readonly digest: Digest;
    }
  | {
      /** `cistern restore` and its like over HTTP. */
      readonly type: 'restored';
      readonly reference: Reference;
      readonly digest: Digest;
    };

export type RegistryEvent = {
  readonly origin: EventOrigin;
  readonly repository: CanonicalName;
} & RegistryChange;

/** What was refused or done by an administrator: for the audit log alone. */
export type AuditedAct =
  | {
      readonly type: 'login-failed';
      readonly origin: EventOrigin;
      /** A code of the registry's table of errors. */
      readonly result: string;
    }
  | ({
      readonly type: 'denied';
      readonly origin: EventOrigin;
      /** A code of the registry's table of errors. */
      readonly result: string;
    } & AskedFor)
  | {
      /** A command over the admin socket or the API: `evict`, `pin`, `read-only`, `gc`, `notifications replay`. */
      readonly type: 'administered';
      readonly origin: EventOrigin;
      readonly action: string;
      /** The image or name that it was told, as it was written. */
      readonly target?: string;
      /** `ok`, or the code of the error. */
      readonly result: string;
    };

export interface RegistryEventListener {
  /** Asked before a `manifest-pulled` is made: mostly no listener wants those of the hot path. */
  readonly wantsPulls: boolean;
  happened(event: RegistryEvent | AuditedAct): void;
}
