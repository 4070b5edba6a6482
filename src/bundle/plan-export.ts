/**
 * What goes into a bundle: the graphs of the images, what refers to them, and the tags of their signatures. Only manifests are read
 * here; what can't be had is listed, so that a user learns all of it at once.
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { ParsedManifest } from '../oci/manifest.ts';
import { formatPlatform, type Platform } from '../oci/platform.ts';
import type { BundleContent, ContentManifest } from '../registry/bundle-content.ts';
import { type GraphBlob, type GraphManifest, type ImageGraph, readGraph } from './image-graph.ts';
import type { BundleEntry } from './image-list.ts';

export interface PlannedManifest extends GraphManifest {
  /** Where it can be read: `docker.io/library/alpine`. */
  readonly repository: string;
}

export interface PlannedBlob extends GraphBlob {
  readonly repository: string;
}

export interface Lack {
  readonly image: string;
  /** Undefined: the image itself. */
  readonly digest?: Digest;
  /** `linux/arm64`, `layer`, `image`. */
  readonly what: string;
  readonly reason: string;
}

export interface ExportPlan {
  /** In the order of the command line, then what refers to them. */
  readonly entries: readonly BundleEntry[];
  readonly manifests: ReadonlyMap<Digest, PlannedManifest>;
  readonly blobs: ReadonlyMap<Digest, PlannedBlob>;
  readonly lacks: readonly Lack[];
  /** Images whose referrers could not be asked for, all or some. */
  readonly unknownReferrers: ReadonlySet<string>;
  /** What refers to an image, and can't be had: the bundle is whole without it. */
  readonly leftBehind: readonly Lack[];
}

export interface PlanRequest {
  readonly images: readonly string[];
  readonly platforms: readonly Platform[];
}

/** Referrers of referrers of … an image: a signature of a bill of materials is the second. */
const maxReferrerDepth = 4;
const maxReferrers = 10_000;

/** Errors: those of `content` that don't say that something is missing. */
export async function planExport(
  request: PlanRequest,
  content: BundleContent,
  signal: AbortSignal,
): Promise<ExportPlan> {
  const planner = new Planner(request.platforms, content, signal);
  for (const image of request.images) await planner.addOrNote(image);
  return planner;
}

class Planner implements ExportPlan {
  readonly entries: BundleEntry[] = [];
  readonly manifests = new Map<Digest, PlannedManifest>();
  readonly blobs = new Map<Digest, PlannedBlob>();
  readonly lacks: Lack[] = [];
  readonly unknownReferrers = new Set<string>();
  readonly leftBehind: Lack[] = [];
  readonly #platforms: readonly Platform[] | 'all';
  readonly #content: BundleContent;
  readonly #signal: AbortSignal;
  readonly #names = new Set<string>();
  /** By repository and digest. */
  readonly #referring = new Set<string>();
  /** Why a manifest can't be had. */
  readonly #reasons = new Map<Digest, string>();

  constructor(platforms: readonly Platform[], content: BundleContent, signal: AbortSignal) {
    this.#platforms = platforms.length === 0 ? 'all' : platforms;
    this.#content = content;
    this.#signal = signal;
  }

  async addOrNote(image: string): Promise<void> {
    try {
      await this.#addImage(image);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      this.lacks.push({ image, what: 'image', reason: error.message });
    }
  }

  /** Errors: those of `content`; MANIFEST_UNKNOWN when it has none of the platforms. */
  async #addImage(image: string): Promise<void> {
    const root = await this.#content.manifest(image, this.#signal);
    const graph = await this.#addNamed(root, this.#platforms);
    if (graph === undefined) return;
    const images = [...graph.manifests.values()].filter(({ parsed }) => parsed.kind !== 'index');
    if (this.#platforms !== 'all' && images.length === 0 && graph.missing.size === 0)
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `${nameOf(root)} has no image for ${this.#platforms.map(formatPlatform).join(', ')}`,
      });
    await this.#addReferrers(root, graph, 0);
  }

  /** Undefined: it is in the plan already. */
  async #addNamed(
    root: ContentManifest,
    platforms: readonly Platform[] | 'all',
  ): Promise<ImageGraph | undefined> {
    const { descriptor, checkedAt, isPrivate } = root;
    const name = nameOf(root);
    if (this.#names.has(name)) return undefined;
    this.#names.add(name);
    this.entries.push({
      descriptor,
      name,
      platforms,
      ...(checkedAt !== undefined && { checkedAt }),
      ...(isPrivate !== undefined && { isPrivate }),
    });
    return await this.#addGraph(root, platforms);
  }

  async #addGraph(root: ContentManifest, platforms: readonly Platform[] | 'all'): Promise<ImageGraph> {
    const { repository } = root;
    const graph = await readGraph(root.descriptor, platforms, async ({ digest }) => {
      if (digest === root.descriptor.digest)
        return { bytes: root.bytes, mediaType: root.descriptor.mediaType };
      const found = await this.#readOrNote(repository, digest);
      return found && { bytes: found.bytes, mediaType: found.descriptor.mediaType };
    });
    for (const [digest, what] of graph.missing) this.lacks.push(this.#lackOf(digest, what, root));
    for (const [digest, manifest] of graph.manifests) this.manifests.set(digest, { ...manifest, repository });
    for (const [digest, blob] of graph.blobs)
      if (this.blobs.get(digest)?.isNeeded !== true) this.blobs.set(digest, { ...blob, repository });
    return graph;
  }

  /** Of each manifest of an image, and of what refers to it. */
  async #addReferrers(
    of: Pick<ContentManifest, 'repository' | 'reference'>,
    { manifests }: ImageGraph,
    depth: number,
  ): Promise<void> {
    const { repository } = of;
    for (const { descriptor, parsed } of manifests.values()) {
      const key = `${repository}@${descriptor.digest}`;
      if (this.#referring.has(key) || isAttestation(parsed)) continue;
      this.#referring.add(key);
      const { descriptors, tags, isUnknown } = await this.#content.referrers(key, this.#signal);
      if (isUnknown && depth === 0) this.unknownReferrers.add(nameOf(of));
      for (const tag of tags) {
        const root = await this.#content.manifest(`${repository}:${tag}`, this.#signal);
        await this.#addNamed(root, 'all');
      }
      for (const { artifactType, ...referrer } of descriptors)
        await this.#addReferrer(repository, referrer, artifactType, depth);
    }
  }

  async #addReferrer(
    repository: string,
    descriptor: BundleEntry['descriptor'],
    artifactType: string | undefined,
    depth: number,
  ): Promise<void> {
    if (this.#names.has(descriptor.digest) || this.#names.size > maxReferrers) return;
    const place = { repository, reference: descriptor.digest };
    const root = await this.#readOrNote(repository, descriptor.digest);
    if (root === undefined) {
      this.leftBehind.push(this.#lackOf(descriptor.digest, 'referrer', place));
      return;
    }
    this.#names.add(descriptor.digest);
    this.entries.push({ descriptor: root.descriptor, ...(artifactType !== undefined && { artifactType }) });
    const graph = await this.#addGraph(root, 'all');
    if (depth + 1 < maxReferrerDepth) await this.#addReferrers(place, graph, depth + 1);
  }

  /** Undefined: it can't be had, and why is noted. */
  async #readOrNote(repository: string, digest: Digest): Promise<ContentManifest | undefined> {
    try {
      return await this.#content.manifest(`${repository}@${digest}`, this.#signal);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      this.#reasons.set(digest, error.message);
      return undefined;
    }
  }

  #lackOf(digest: Digest, what: string, of: Pick<ContentManifest, 'repository' | 'reference'>): Lack {
    const reason = this.#reasons.get(digest) ?? 'the image is larger than an export takes';
    return { image: nameOf(of), digest, what, reason };
  }
}

/** Of BuildKit, in an index beside the image: nothing refers to it. */
function isAttestation({ layers }: ParsedManifest): boolean {
  return layers.length > 0 && layers.every(({ mediaType }) => mediaType === 'application/vnd.in-toto+json');
}

function nameOf({ repository, reference }: Pick<ContentManifest, 'repository' | 'reference'>): string {
  return `${repository}${reference.includes(':') ? '@' : ':'}${reference}`;
}
