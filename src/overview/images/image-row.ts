/** One held image as a row: kind, platforms with their attestations, sizes, completeness. It reads the image's manifests, and no blob but one config. */
import { summarizeImage } from '../../admin/image-summary.ts';
import type { ImageRow, PlatformRow } from '../../http/api/schema/images.ts';
import { TimeSlice } from '../../lib/time-slice.ts';
import type { Digest } from '../../oci/digest.ts';
import { isArtifact } from '../../oci/image-needs.ts';
import type { ChildDescriptor, ParsedManifest } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/name.ts';
import { type Platform, parsePlatform } from '../../oci/platform.ts';
import { HOSTED } from '../../registry/directory.ts';
import {
  blobsOf,
  findMissing,
  type ImageTree,
  type MissingContent,
  readImageTree,
} from '../../store/records/image-tree.ts';
import type { BlobUses, CountedUses } from '../held/blob-uses.ts';
import type { HeldContent } from '../held/held-content.ts';
import type { HeldManifest, HeldRepository, HeldTag } from '../held/held-repository.ts';

export interface ImageRowsOptions {
  readonly content: Pick<HeldContent, 'of' | 'manifest' | 'json'>;
  readonly uses: Pick<BlobUses, 'current'>;
  /** The tag goes out without a check. */
  isFresh(name: string, tag: string, checkedMs: number): boolean;
}

/** A hostile index lists thousands. */
const shownPlatforms = 100;

export type NamedImage = { readonly tag: Tag | null } & (HeldTag | HeldManifest);

export interface DescribedImage {
  readonly row: ImageRow;
  /** Undefined: its manifest isn't held. */
  readonly tree: ImageTree | undefined;
  /** Undefined: it is complete. Without a tree: nothing is known. */
  readonly missing: MissingContent | undefined;
}

export class ImageRows {
  readonly #options: ImageRowsOptions;

  constructor(options: ImageRowsOptions) {
    this.#options = options;
  }

  async describe(repository: HeldRepository, named: NamedImage): Promise<DescribedImage> {
    const { content, uses } = this.#options;
    const { tag, digest, mediaType, sinceMs } = named;
    const wasAsked = (blob: Digest) => repository.wasAsked(blob);
    const tree = await readImageTree(manifest => content.manifest(manifest), named);
    const summary = tree && (await summarizeImage(tree, content, wasAsked));
    const own = tree && (await this.#ownBytes(tree, uses.current()));
    const { heldBytes = 0, neededBytes = 0, lastUseMs = 0, missing } = summary ?? {};
    const usedMs = Math.max(lastUseMs, repository.manifest(digest)?.usedMs ?? 0);
    const row: ImageRow = {
      image: `${repository.name}${tag === null ? '@' : ':'}${tag ?? digest}`,
      repository: repository.name,
      upstream: repository.upstream,
      tag,
      digest,
      mediaType,
      kind: tree === undefined ? 'unknown' : kindOf(tree.root),
      platforms: tree === undefined ? [] : await this.#platforms(tree, digest, wasAsked),
      complete: tree !== undefined && missing === undefined,
      heldBytes,
      neededBytes,
      ownBytes: own ?? null,
      sharedBytes: own === undefined ? null : heldBytes - own,
      since: timeOf(sinceMs),
      checkedAt: 'checkedMs' in named ? timeOf(named.checkedMs) : null,
      freshness: this.#freshness(repository, named),
      lastUsedAt: usedMs === 0 ? null : timeOf(usedMs),
      pinned: repository.isPinned(digest) || (tag !== null && repository.isPinned(tag)),
    };
    return { row, tree, missing };
  }

  #freshness(repository: HeldRepository, named: NamedImage): ImageRow['freshness'] {
    if (repository.upstream === HOSTED) return 'hosted';
    if (named.tag === null || !('checkedMs' in named) || named.checkedMs === undefined) return 'digest';
    return this.#options.isFresh(repository.name, named.tag, named.checkedMs) ? 'fresh' : 'stale';
  }

  /** Undefined: not counted yet. */
  async #ownBytes(tree: ImageTree, uses: CountedUses | undefined): Promise<number | undefined> {
    if (uses === undefined) return undefined;
    const slice = new TimeSlice();
    const within = new Map<Digest, number>();
    let own = 0;
    for (const { size, parsed } of tree.manifests.values()) {
      await slice.pause();
      own += size;
      for (const digest of new Set(blobsOf(parsed).map(blob => blob.digest)))
        within.set(digest, (within.get(digest) ?? 0) + 1);
    }
    for (const [digest, count] of within) {
      await slice.pause();
      if (uses.countOf(digest) <= count) own += (await this.#options.content.of(digest))?.size ?? 0;
    }
    return own;
  }

  async #platforms(
    { root, manifests }: ImageTree,
    digest: Digest,
    wasAsked: (digest: Digest) => boolean,
  ): Promise<readonly PlatformRow[]> {
    const describe = async (
      name: string,
      child: Digest,
      attestations: PlatformRow['attestations'],
    ): Promise<PlatformRow> => {
      const found = manifests.get(child)?.parsed;
      const missing = found && (await this.#missing(found, manifests, wasAsked));
      return {
        platform: name,
        digest: child,
        held: found !== undefined,
        complete: found !== undefined && missing === undefined,
        neededBytes: found === undefined ? null : blobsOf(found).reduce((total, { size }) => total + size, 0),
        attestations,
      };
    };
    if (root.kind === 'image') {
      const platform = isArtifact(root) ? undefined : await this.#ownPlatform(root);
      return platform === undefined ? [] : [await describe(formatPlatform(platform), digest, [])];
    }
    const attestations = new Map<Digest, PlatformRow['attestations'][number][]>();
    for (const child of root.manifests) {
      if (!isAttestation(child) || child.attestationOf === undefined) continue;
      const known = attestations.get(child.attestationOf) ?? [];
      known.push({ digest: child.digest, held: manifests.has(child.digest) });
      attestations.set(child.attestationOf, known);
    }
    const rows: PlatformRow[] = [];
    for (const child of root.manifests) {
      if (child.platform === undefined || isAttestation(child)) continue;
      if (rows.length === shownPlatforms) break;
      const own = attestations.get(child.digest) ?? [];
      rows.push(await describe(formatPlatform(child.platform), child.digest, own.slice(0, shownPlatforms)));
    }
    return rows;
  }

  #missing(
    found: ParsedManifest,
    manifests: ImageTree['manifests'],
    wasAsked: (digest: Digest) => boolean,
  ): Promise<MissingContent | undefined> {
    return findMissing(found, {
      manifest: async child => manifests.get(child)?.parsed,
      hasBlob: async blob => (await this.#options.content.of(blob)) !== undefined,
      wasAsked,
    });
  }

  async #ownPlatform({ config }: ParsedManifest): Promise<Platform | undefined> {
    return config && parsePlatform(await this.#options.content.json(config.digest));
  }
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/** BuildKit lists them as children for a machine that there is not. */
function isAttestation({ platform, attestationOf }: ChildDescriptor): boolean {
  return attestationOf !== undefined || platform?.os === 'unknown';
}

function kindOf(root: ParsedManifest): ImageRow['kind'] {
  if (root.kind === 'other') return 'unknown';
  if (root.kind === 'index') return 'index';
  return isArtifact(root) ? 'artifact' : 'image';
}

/** Null for undefined and for an invalid time. */
export function timeOf(ms: number | undefined): string | null {
  if (ms === undefined) return null;
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
