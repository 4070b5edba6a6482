/**
 * What a node of a fleet gives to another one: content that it holds or is filling just now, by digest, and never by
 * asking an upstream. The URLs are built and read here, so that both sides agree:
 *
 *     /fleet/v1/blobs/DIGEST?repository=docker.io/library/alpine[&for=anybody][&state=held]
 *     /fleet/v1/manifests/DIGEST?repository=…[&for=anybody]
 */

import { type Digest, isDigest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import type { BlobReader } from './registry.ts';

export interface PeerQuestion {
  readonly kind: 'blob' | 'manifest';
  readonly digest: Digest;
  /** Canonical: `docker.io/library/alpine`. It must be linked to it at the node that is asked. */
  readonly repository: string;
  /** Asked as anybody would ask: only what is public is given. Otherwise the asking node knows who may have it. */
  readonly forAnybody: boolean;
  /** Only from what is held whole; otherwise also from a blob that is being filled. */
  readonly heldOnly: boolean;
}

export interface PeerBlob {
  /** Of the whole blob, in bytes. */
  readonly size: number;
  /** The caller closes it. */
  readonly reader: BlobReader;
}

export interface PeerManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** What is here, for peers. Undefined: not here, or not for that repository. Both look alike from outside. */
export interface PeerContent {
  /**
   * `partFrom`: only a part is wanted, from that offset on; one that is far from being here isn't.
   * Errors: the signal's reason.
   */
  blob(
    question: PeerQuestion,
    partFrom: number | undefined,
    signal: AbortSignal,
  ): Promise<PeerBlob | undefined>;
  manifest(question: PeerQuestion): Promise<PeerManifest | undefined>;
}

/** Lets requests of this fleet's nodes in. */
export interface PeerGate {
  /** The node that asks; undefined: nobody of this fleet. */
  admit(
    request: { readonly method: string; readonly target: string; readonly range: string | undefined },
    authorization: string | undefined,
  ): string | undefined;
  /** This node is just now getting that blob from that node: it can't give it back. */
  isFollowing(node: string, digest: Digest): boolean;
  /** Body bytes given to a peer. */
  served(bytes: number): void;
}

const root = '/fleet/v1/';
const segments = { blob: 'blobs', manifest: 'manifests' } as const;

export function isPeerTarget(rawUrl: string): boolean {
  return rawUrl.startsWith(root);
}

export function buildPeerTarget(question: PeerQuestion): string {
  const query = new URLSearchParams({ repository: question.repository });
  if (question.forAnybody) query.set('for', 'anybody');
  if (question.heldOnly) query.set('state', 'held');
  return `${root}${segments[question.kind]}/${question.digest}?${query}`;
}

/** Undefined: no such URL. */
export function parsePeerTarget(rawUrl: string): PeerQuestion | undefined {
  const [, segment, digest = '', search] =
    /^\/fleet\/v1\/(blobs|manifests)\/([^/?#]+)\?([^#]*)$/.exec(rawUrl) ?? [];
  const query = new URLSearchParams(search);
  const repository = query.get('repository');
  if (segment === undefined || !isDigest(digest) || repository === null) return undefined;
  return {
    kind: segment === 'blobs' ? 'blob' : 'manifest',
    digest,
    repository,
    forAnybody: query.get('for') === 'anybody',
    heldOnly: query.get('state') === 'held',
  };
}
