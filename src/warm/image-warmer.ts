/**
 * Brings one image into the cache as its clients will pull it: HEAD of the tag, the manifests of the wanted platforms, each blob. Only what
 * is missing is fetched, so a second run costs no counted pull. What was fetched stays, whatever happens to the rest.
 */
import type { WarmResult } from '../admin/warm-admin.ts';
import { Limit } from '../lib/limit.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { blobChildren, isBlobChild, neededBlobs } from '../oci/image-needs.ts';
import { type ParsedManifest, parseOrKeep } from '../oci/manifest.ts';
import { walkManifests } from '../oci/manifest-walk.ts';
import type { Reference, Repository } from '../oci/name.ts';
import { fitsPlatform, type Platform } from '../oci/platform.ts';
import { operatorCaller } from '../registry/caller.ts';
import { drainBlob } from '../registry/drain-blob.ts';
import type { StaleReason } from '../registry/registry.ts';
import type { WarmGate } from './warm-gate.ts';

export interface HeldContent {
  /** That manifest of that repository (canonical name) is held: it needs no counted request. */
  hasManifest(name: string, digest: Digest): Promise<boolean>;
  sizeOf(digest: Digest): Promise<number | undefined>;
  /** Resolves when no download of that blob runs: its file is in its place, or will not be. */
  downloaded(digest: Digest): Promise<void>;
}

export interface WarmTarget {
  /** Canonical. */
  readonly name: string;
  readonly repository: Repository;
  readonly reference: Reference;
  /** Of an index, only these children; undefined: all. */
  readonly platforms: readonly Platform[] | undefined;
}

export interface Warmed {
  readonly result: WarmResult;
  readonly digest: Digest;
  readonly fetchedBytes: number;
  readonly fetchedManifests: number;
  readonly reason: string | null;
}

const blobsAtOnce = 3;

export class ImageWarmer {
  readonly #content: HeldContent;

  constructor(content: HeldContent) {
    this.#content = content;
  }

  /** Errors: `RegistryError`; the signal's reason. */
  async warm(target: WarmTarget, gate: WarmGate, signal: AbortSignal): Promise<Warmed> {
    const { digest, reason, mediaType } = await this.#find(target, gate, signal);
    const manifests = await this.#fetchManifests(target, { digest, mediaType }, gate, signal);
    const blobs = new Set(
      manifests.found
        .flatMap(found => [...neededBlobs(found, () => true), ...blobChildren(found)])
        .map(blob => blob.digest),
    );
    const fetchedBytes = manifests.fetchedBytes + (await this.#fetchBlobs(target, blobs, gate, signal));
    const { fetchedManifests } = manifests;
    if (reason !== null) return { result: 'failed', digest, fetchedBytes, fetchedManifests, reason };
    const result = fetchedBytes === 0 && fetchedManifests === 0 ? 'held' : 'fetched';
    return { result, digest, fetchedBytes, fetchedManifests, reason };
  }

  /** What a tag points to now. `reason`: it could not be checked, and what is held of it goes on. */
  async #find(
    { repository, reference }: WarmTarget,
    gate: WarmGate,
    signal: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly mediaType: string; readonly reason: string | null }> {
    if (isDigest(reference)) return { digest: reference, mediaType: '', reason: null };
    const ask = () =>
      gate.registry.resolve(repository, reference, { signal, caller: operatorCaller, mustCheck: true });
    for (;;) {
      const { descriptor, stale } = await gate.counted(ask, signal); // where HEAD says nothing, GET follows
      const { digest, mediaType } = descriptor;
      if (stale === undefined) return { digest, mediaType, reason: null };
      if (stale !== 'rate-limited' && stale !== 'pull-quota')
        return { digest, mediaType, reason: `not checked: ${staleTexts[stale]}` };
      gate.limited();
    }
  }

  async #fetchManifests(
    target: WarmTarget,
    root: { readonly digest: Digest; readonly mediaType: string },
    gate: WarmGate,
    signal: AbortSignal,
  ): Promise<{
    readonly found: readonly ParsedManifest[];
    readonly fetchedBytes: number;
    readonly fetchedManifests: number;
  }> {
    const { name, repository } = target;
    let [fetchedBytes, fetchedManifests] = [0, 0];
    const read = async (digest: Digest) => {
      const ask = () => gate.registry.manifest(repository, digest, { signal, caller: operatorCaller });
      const isHeld = await this.#content.hasManifest(name, digest);
      const answer = isHeld ? await ask() : await gate.counted(ask, signal);
      if (!isHeld && answer.outcome !== 'hit') {
        fetchedManifests += 1;
        fetchedBytes += answer.bytes.length;
      }
      return {
        parsed: chooseChildren(parseOrKeep(answer.bytes, answer.descriptor.mediaType), target, digest),
      };
    };
    const found: ParsedManifest[] = [];
    for await (const visited of walkManifests([root], ({ digest }) => read(digest))) {
      signal.throwIfAborted();
      if (visited.found !== undefined) found.push(visited.found.parsed);
    }
    return { found, fetchedBytes, fetchedManifests };
  }

  /** Resolves with the bytes that came. */
  async #fetchBlobs(
    { repository }: WarmTarget,
    blobs: ReadonlySet<Digest>,
    gate: WarmGate,
    signal: AbortSignal,
  ): Promise<number> {
    const limit = new Limit({ maxRunning: blobsAtOnce });
    const stop = new AbortController(); // when one can't be had, the others are of no use
    const both = AbortSignal.any([signal, stop.signal]);
    let fetchedBytes = 0;
    const bring = async (digest: Digest) => {
      both.throwIfAborted();
      if ((await this.#content.sizeOf(digest)) !== undefined) {
        await gate.registry.stat(repository, digest, { signal: both, caller: operatorCaller }); // links it to the repository
        return;
      }
      await gate.transfer(both);
      await drainBlob(gate.registry, repository, digest, both);
      await this.#content.downloaded(digest);
      const size = await this.#content.sizeOf(digest);
      if (size === undefined)
        throw new RegistryError('UNAVAILABLE', {
          message: `${digest} was not kept: the store has no room for it`,
        });
      fetchedBytes += size;
    };
    try {
      await Promise.all(Array.from(blobs, digest => limit.run(() => bring(digest))));
    } finally {
      stop.abort(new Error('the image can not be warmed'));
    }
    return fetchedBytes;
  }
}

/** Errors: MANIFEST_UNKNOWN for an index without any of the platforms. */
function chooseChildren(
  parsed: ParsedManifest,
  { name, platforms }: WarmTarget,
  digest: Digest,
): ParsedManifest {
  if (platforms === undefined || parsed.kind !== 'index') return parsed;
  const children = parsed.manifests.filter(child => !isBlobChild(child));
  if (!children.some(({ platform }) => platform !== undefined)) return parsed; // it tells no platforms
  const wanted = children.filter(
    ({ platform }) => platform !== undefined && platforms.some(asked => fitsPlatform(platform, asked)),
  );
  if (wanted.length > 0)
    return { ...parsed, manifests: [...parsed.manifests.filter(isBlobChild), ...wanted] };
  const message = `${name}@${digest} has no image for ${platforms.map(formatPlatform).join(', ')}`;
  throw new RegistryError('MANIFEST_UNKNOWN', { message });
}

function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

const staleTexts: Readonly<Record<Exclude<StaleReason, 'rate-limited' | 'pull-quota'>, string>> = {
  offline: 'this mirror is offline by its configuration',
  unreachable: 'the upstream cannot be reached',
  slow: 'the upstream did not answer in time',
  refused: 'the upstream refused to answer',
  gone: 'the upstream no longer has it',
};
