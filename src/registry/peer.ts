/**
 * What a node of a fleet gives to another one: content that it holds or is downloading, by digest, and never by asking an upstream.
 * The URLs are built and parsed here:
 *
 *     /fleet/v1/blobs/DIGEST?repository=docker.io/library/alpine[&for=anybody][&state=held]
 *     /fleet/v1/manifests/DIGEST?repository=…[&for=anybody]
 */

import { type Digest, isDigest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import type { BlobReader } from './registry.ts';

export interface PeerRequest {
  readonly kind: 'blob' | 'manifest';
  readonly digest: Digest;
  /** Canonical: `docker.io/library/alpine`. The content must be linked to it at the node that is asked. */
  readonly repository: string;
  /** Give only public content. Otherwise the asking node decides who may have it. */
  readonly publicOnly: boolean;
  /** Only what is held whole; otherwise also from a running download. */
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

/** This node's content, for peers. Undefined: not here, or not for that repository; the peer can't tell which. */
export interface PeerContent {
  /**
   * `partFrom`: only a part is wanted, from that offset on; undefined as well when the download is far from that offset.
   * Errors: the signal's reason.
   */
  blob(
    request: PeerRequest,
    partFrom: number | undefined,
    signal: AbortSignal,
  ): Promise<PeerBlob | undefined>;
  manifest(request: PeerRequest): Promise<PeerManifest | undefined>;
}

/** Tells this fleet's nodes from others, and counts what they get. */
export interface PeerGate {
  /** The node that asks; undefined: the request isn't signed by a node of this fleet. */
  authenticate(
    request: { readonly method: string; readonly target: string; readonly range: string | undefined },
    authorization: string | undefined,
  ): string | undefined;
  /** This node is downloading that blob from that node, so it can't give it back. */
  isFollowing(node: string, digest: Digest): boolean;
  /** Counts body bytes given to a peer. */
  served(bytes: number): void;
}

const root = '/fleet/v1/';
const segments = { blob: 'blobs', manifest: 'manifests' } as const;

export function isPeerTarget(rawUrl: string): boolean {
  return rawUrl.startsWith(root);
}

export function buildPeerTarget(request: PeerRequest): string {
  const query = new URLSearchParams({ repository: request.repository });
  if (request.publicOnly) query.set('for', 'anybody');
  if (request.heldOnly) query.set('state', 'held');
  return `${root}${segments[request.kind]}/${request.digest}?${query}`;
}

/** Undefined: no such URL. */
export function parsePeerTarget(rawUrl: string): PeerRequest | undefined {
  const [, segment, digest = '', search] =
    /^\/fleet\/v1\/(blobs|manifests)\/([^/?#]+)\?([^#]*)$/.exec(rawUrl) ?? [];
  const query = new URLSearchParams(search);
  const repository = query.get('repository');
  if (segment === undefined || !isDigest(digest) || repository === null) return undefined;
  return {
    kind: segment === 'blobs' ? 'blob' : 'manifest',
    digest,
    repository,
    publicOnly: query.get('for') === 'anybody',
    heldOnly: query.get('state') === 'held',
  };
}
