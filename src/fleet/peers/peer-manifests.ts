/**
 * Manifests by digest in a fleet: from a node that holds one, verified; else one node asks the upstream while the others
 * wait for it, since each answer may count against a pull limit. Who waits in vain asks by itself.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { PeerManifest } from '../../registry/peer.ts';
import type { BlobLeases, Claim } from '../redis/blob-leases.ts';
import type { Holdings } from '../redis/lease-renewal.ts';
import { type PeerClient, PeerError } from './peer-client.ts';

export interface PeerManifestsOptions {
  readonly claims: BlobLeases;
  readonly client: PeerClient;
  readonly holdings: Pick<Holdings, 'isHeld'>;
}

/** For the answer of a node that holds it. */
const answerMs = 2000;
/** Between two looks at what another node asks for, and how long it is waited for. */
const lookAgainMs = 50;
const patienceMs = 3000;
/** Until an answer is in the store. */
const storedMs = 2000;

export class PeerManifests {
  readonly #options: PeerManifestsOptions;

  constructor(options: PeerManifestsOptions) {
    this.#options = options;
  }

  /** From a node that holds it now. Errors: the signal's reason. */
  async find(repository: string, digest: Digest, signal: AbortSignal): Promise<PeerManifest | undefined> {
    const missing: string[] = [];
    const found = await this.#from(
      await this.#options.claims.claim(digest, 'look'),
      repository,
      digest,
      missing,
      signal,
    );
    if (missing.length > 0) await this.#options.claims.claim(digest, 'look', missing);
    return found;
  }

  /** From another node, or what `ask` gets of the upstream. Errors: those of `ask`; the signal's reason. */
  async get<T>(
    repository: string,
    digest: Digest,
    signal: AbortSignal,
    ask: () => Promise<T>,
  ): Promise<T | PeerManifest> {
    const { claims } = this.#options;
    const missing: string[] = [];
    const giveUpAt = performance.now() + patienceMs;
    for (let how: 'take' | 'insist' = 'take'; ; ) {
      const claim = await claims.claim(digest, how, missing.splice(0));
      signal.throwIfAborted();
      if (claim.kind === 'away') return ask();
      if (claim.kind === 'ours') return this.#lead(digest, ask);
      const found = await this.#from(claim, repository, digest, missing, signal);
      if (found !== undefined) return found;
      if (performance.now() > giveUpAt) return ask();
      if (claim.kind === 'nobody') how = 'insist';
      else await delay(lookAgainMs, undefined, { signal });
    }
  }

  /** The lease is kept until the others find it here. */
  async #lead<T>(digest: Digest, ask: () => Promise<T>): Promise<T> {
    const { claims } = this.#options;
    try {
      const answer = await ask();
      void this.#untilStored(digest).then(isHeld => claims.release(digest, isHeld));
      return answer;
    } catch (error) {
      await claims.release(digest, false);
      throw error;
    }
  }

  async #untilStored(digest: Digest): Promise<boolean> {
    const { holdings } = this.#options;
    for (const giveUpAt = performance.now() + storedMs; performance.now() < giveUpAt; ) {
      if (await holdings.isHeld(digest).catch(() => false)) return true;
      await delay(lookAgainMs, undefined, { ref: false });
    }
    return false;
  }

  /** Who doesn't hold it is added to `missing`. */
  async #from(
    claim: Claim,
    repository: string,
    digest: Digest,
    missing: string[],
    signal: AbortSignal,
  ): Promise<PeerManifest | undefined> {
    const question = { kind: 'manifest', digest, repository, publicOnly: false, heldOnly: true } as const;
    for (const peer of 'holders' in claim ? claim.holders : []) {
      const bound = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
      try {
        return await this.#options.client.manifest(peer, question, bound);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof PeerError && error.result === 'missing') missing.push(peer.node);
      }
    }
    return undefined;
  }
}
