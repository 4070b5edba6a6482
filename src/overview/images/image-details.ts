/** One image with all that is known of it: layers, config, referrers, history of its tag, and what a pull with the line cut would lack. */
import { type ImageHosts, parseImage } from '../../admin/image-name.ts';
import type { TagAdmin } from '../../admin/tag-admin.ts';
import type { ImageAnswer, ImageQuery, PlatformRow } from '../../http/api/schema/images.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import { fitsPlatform, parsePlatformText } from '../../oci/platform.ts';
import type { Caller } from '../../registry/caller.ts';
import type { ImageTree } from '../../store/records/image-tree.ts';
import type { BlobUses } from '../held/blob-uses.ts';
import type { HeldContent } from '../held/held-content.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';
import type { HeldRepository } from '../held/held-repository.ts';
import { makersOfLayers, readConfig } from './image-config.ts';
import type { ImageRows, NamedImage } from './image-row.ts';
import { missingParts } from './offline-list.ts';
import { listReferrers } from './referrers.ts';
import { rightsIn } from './repository-list.ts';

export interface ImageDetailsOptions {
  readonly hosts: ImageHosts;
  readonly repositories: Pick<HeldRepositories, 'open' | 'mayPull'>;
  readonly content: Pick<HeldContent, 'of' | 'manifest' | 'json'>;
  readonly rows: Pick<ImageRows, 'describe'>;
  readonly uses: Pick<BlobUses, 'current'>;
  readonly tags: Pick<TagAdmin, 'history'>;
}

type Shown = NonNullable<ImageAnswer['manifest']>;

const shownMissing = 100;
const usualPlatform = 'linux/amd64';

export class ImageDetails {
  readonly #options: ImageDetailsOptions;

  constructor(options: ImageDetailsOptions) {
    this.#options = options;
  }

  /**
   * Errors: NAME_INVALID, TAG_INVALID, DIGEST_INVALID; MANIFEST_UNKNOWN, also where the caller may not know of it.
   */
  async of(query: ImageQuery, caller: Caller, signal: AbortSignal): Promise<ImageAnswer> {
    const { content, rows } = this.#options;
    const { repository, image } = await this.#find(query.name, caller);
    const described = await rows.describe(repository, image);
    const { row, tree } = described;
    return {
      image: row,
      may: rightsIn(repository, caller),
      manifest:
        tree === undefined ? null : await this.#show(tree, row.platforms, image.digest, query.platform),
      referrers: await listReferrers(repository, image.digest, content),
      moves: image.tag === null ? [] : await this.#moves(row.image, signal),
      otherTags: repository.tagsOf(image.digest).filter(tag => tag !== image.tag),
      missing: missingParts(described).slice(0, shownMissing),
    };
  }

  async #find(
    text: string,
    caller: Caller,
  ): Promise<{ readonly repository: HeldRepository; readonly image: NamedImage }> {
    const { hosts, repositories } = this.#options;
    const { name, reference } = parseImage(text, hosts);
    const repository = (await repositories.mayPull(name, caller)) ? await repositories.open(name) : undefined;
    const held = isDigest(reference) ? repository?.manifest(reference) : repository?.tag(reference);
    if (repository !== undefined && held !== undefined)
      return { repository, image: { tag: isDigest(reference) ? null : reference, ...held } };
    const message = `${name}${isDigest(reference) ? '@' : ':'}${reference} is not held`;
    throw new RegistryError('MANIFEST_UNKNOWN', { message });
  }

  /** What was never here has none. */
  async #moves(image: string, signal: AbortSignal): Promise<ImageAnswer['moves']> {
    try {
      return (await this.#options.tags.history(image, signal)).moves;
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'MANIFEST_UNKNOWN') return [];
      throw error;
    }
  }

  /** Null: the manifest of that platform isn't held. Of an index without platforms the index itself. */
  async #show(
    { manifests }: ImageTree,
    platforms: readonly PlatformRow[],
    root: Digest,
    wanted: string | undefined,
  ): Promise<Shown | null> {
    const chosen = choosePlatform(platforms, wanted);
    if (wanted !== undefined && chosen === undefined) return null;
    const digest = platforms.find(row => row === chosen)?.digest ?? root;
    const found = [...manifests].find(([held]) => held === digest)?.[1];
    if (found === undefined) return null;
    const { config, layers, mediaType, annotations = {} } = found.parsed;
    const read = config && readConfig(await this.#options.content.json(config.digest));
    const history = read?.history ?? [];
    return {
      platform: chosen?.platform ?? null,
      digest,
      mediaType,
      bytes: found.size,
      annotations: { ...annotations },
      layers: await this.#layers(layers, history),
      config: read?.config ?? null,
      history,
    };
  }

  async #layers(layers: readonly Descriptor[], history: Shown['history']): Promise<Shown['layers']> {
    const { content, uses } = this.#options;
    const counted = uses.current();
    const makers = makersOfLayers(history, layers.length);
    return Promise.all(
      layers.map(async ({ digest, mediaType, size }, at) => ({
        digest,
        mediaType,
        bytes: size,
        held: (await content.of(digest)) !== undefined,
        images: counted?.countOf(digest) ?? null,
        createdBy: makers[at] ?? null,
      })),
    );
  }
}

function choosePlatform(
  platforms: readonly PlatformRow[],
  wanted: string | undefined,
): PlatformRow | undefined {
  const asked = parsePlatformText(wanted ?? usualPlatform);
  const fits = platforms.find(({ platform }) => {
    const own = parsePlatformText(platform);
    return asked !== undefined && own !== undefined && fitsPlatform(own, asked);
  });
  if (wanted !== undefined) return fits;
  return [fits, ...platforms].find(row => row?.held === true) ?? fits;
}
