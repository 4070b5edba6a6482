/**
 * Manifests by digest in a fleet: from a node that holds one, verified; else one node asks the upstream while the others wait for it, because
 * each answer may count against a pull quota. A node that waits too long asks by itself.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { PeerManifest } from '../../registry/peer.ts';
import type { BlobLeases, Lease } from '../redis/blob-leases.ts';
import type { LocalBlobs } from '../redis/lease-renewal.ts';
import { type PeerClient, PeerError } from './peer-client.ts';

export interface PeerManifestsOptions {
  readonly leases: BlobLeases;
  readonly client: PeerClient;
  readonly blobs: Pick<LocalBlobs, 'isHeld'>;
}

/** For the answer of a node that holds it. */
const answerMs = 2000;
/** How often to look whether the node with the lease has the manifest, and for how long. */
const lookAgainMs = 50;
const patienceMs = 3000;
/** How long storing an answer may take. */
const storedMs = 2000;

export class PeerManifests {
  readonly #options: PeerManifestsOptions;

  constructor(options: PeerManifestsOptions) {
    this.#options = options;
  }

  /** From a node that holds it now. Errors: the signal's reason. */
  async find(repository: string, digest: Digest, signal: AbortSignal): Promise<PeerManifest | undefined> {
    const missing: string[] = [];
    const { leases } = this.#options;
    const lease = await leases.acquire(digest, 'look');
    const found = await this.#fromHolders(lease, repository, digest, missing, signal);
    if (missing.length > 0) await leases.acquire(digest, 'look', missing);
    return found;
  }

  /** From another node, or what `ask` gets of the upstream. Errors: those of `ask`; the signal's reason. */
  async get<T>(
    repository: string,
    digest: Digest,
    signal: AbortSignal,
    ask: () => Promise<T>,
  ): Promise<T | PeerManifest> {
    const { leases } = this.#options;
    const missing: string[] = [];
    const giveUpAt = performance.now() + patienceMs;
    for (let how: 'take' | 'insist' = 'take'; ; ) {
      const lease = await leases.acquire(digest, how, missing.splice(0));
      signal.throwIfAborted();
      if (lease.kind === 'away') return ask();
      if (lease.kind === 'ours') return this.#askLeased(digest, ask);
      const found = await this.#fromHolders(lease, repository, digest, missing, signal);
      if (found !== undefined) return found;
      if (performance.now() > giveUpAt) return ask();
      if (lease.kind === 'free') how = 'insist';
      else await delay(lookAgainMs, undefined, { signal });
    }
  }

  /** The lease is kept until the others find the manifest here. */
  async #askLeased<T>(digest: Digest, ask: () => Promise<T>): Promise<T> {
    const { leases } = this.#options;
    try {
      const answer = await ask();
      void this.#untilStored(digest).then(isHeld => leases.release(digest, isHeld));
      return answer;
    } catch (error) {
      await leases.release(digest, false);
      throw error;
    }
  }

  async #untilStored(digest: Digest): Promise<boolean> {
    const { blobs } = this.#options;
    for (const giveUpAt = performance.now() + storedMs; performance.now() < giveUpAt; ) {
      if (await blobs.isHeld(digest).catch(() => false)) return true;
      await delay(lookAgainMs, undefined, { ref: false });
    }
    return false;
  }

  /** Nodes that don't hold it after all are added to `missing`. */
  async #fromHolders(
    lease: Lease,
    repository: string,
    digest: Digest,
    missing: string[],
    signal: AbortSignal,
  ): Promise<PeerManifest | undefined> {
    const request = { kind: 'manifest', digest, repository, publicOnly: false, heldOnly: true } as const;
    for (const peer of 'holders' in lease ? lease.holders : []) {
      const bound = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
      try {
        return await this.#options.client.manifest(peer, request, bound);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof PeerError && error.result === 'missing') missing.push(peer.node);
      }
    }
    return undefined;
  }
}
