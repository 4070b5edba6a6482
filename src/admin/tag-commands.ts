/** The commands over tags: of hosted repositories through what is handed in, of mirrored ones through their records. */
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Reference, Repository, Tag } from '../oci/name.ts';
import { type Platform, parsePlatformText } from '../oci/platform.ts';
import type { RegistryReader } from '../registry/registry.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { Records } from '../store/records/records.ts';
import type { Logger } from '../telemetry/logger.ts';
import { formatImage, type ImageHosts, type ImageName, parseImage } from './image-name.ts';
import type {
  AskedBy,
  HistoryReport,
  PromoteReport,
  ReportedMove,
  RestoreReport,
  RestoreTime,
  RetentionOfTag,
  RetentionReport,
  TagAdmin,
} from './tag-admin.ts';

/** What the private registry does for these commands. Times in milliseconds since the epoch. */
export interface HostedTags {
  /** The newest first; `isDeleted`: it can be restored. Empty: there was no such tag. */
  history(name: Repository, tag: Tag): Promise<readonly HostedMove[]>;
  restore(
    name: Repository,
    wanted: { readonly tag?: Tag; readonly digest?: Digest; readonly at?: number },
    by: MovedBy,
  ): Promise<{
    readonly digest: Digest;
    readonly tags: readonly { readonly tag: Tag; readonly from?: Digest }[];
    readonly undeleted: readonly Digest[];
  }>;
  /** Absent: it needs a running daemon. */
  promote?(
    source: PromotedSource,
    target: { readonly name: Repository; readonly tag: Tag },
    by: MovedBy,
  ): Promise<PromotedImage>;
  explainRetention(signal: AbortSignal): AsyncIterable<{
    readonly name: Repository;
    readonly decisions: readonly (Omit<RetentionOfTag, 'repository' | 'rule'> & { readonly rule?: number })[];
  }>;
}

export interface MovedBy {
  readonly user: string;
  readonly signal: AbortSignal;
}

export interface HostedMove {
  readonly at: number;
  readonly to?: Digest;
  readonly user?: string;
  readonly how: string;
  readonly content: 'held' | 'deleted' | 'gone';
}

export interface PromotedSource {
  readonly registry: Pick<RegistryReader, 'manifest' | 'blob'>;
  readonly repository: Repository;
  readonly reference: Reference;
  readonly platforms: readonly Platform[];
}

/** Sizes in bytes. */
export interface PromotedImage {
  readonly digest: Digest;
  /** What the tag pointed to before. */
  readonly from?: Digest;
  readonly manifests: number;
  readonly blobs: number;
  readonly linkedBytes: number;
  readonly fetchedBytes: number;
}

export interface TagCommandsOptions {
  readonly hosts: ImageHosts;
  readonly records: Pick<Records, 'look'>;
  readonly store: Pick<BlobStore, 'sizeOf'>;
  /** Undefined: nothing is hosted. */
  readonly hosted: HostedTags | undefined;
  /** By its host; an empty one: the private registry. */
  registry(host: string): Pick<RegistryReader, 'manifest' | 'blob'> | undefined;
  /** Resolves when pins and hosted repositories are known. Never throws. */
  ready(): Promise<void>;
  readonly logger: Logger;
}

export class TagCommands implements TagAdmin {
  readonly #options: TagCommandsOptions;

  constructor(options: TagCommandsOptions) {
    this.#options = options;
  }

  async history(text: string): Promise<HistoryReport> {
    const image = parseImage(text, this.#options.hosts);
    const { host, name, repository, reference } = image;
    if (isDigest(reference)) {
      const message = `a digest has no history, it never moves: name a tag instead of ${reference}`;
      throw new RegistryError('TAG_INVALID', { message });
    }
    const moves =
      host === ''
        ? await this.#hostedMoves(repository, reference)
        : await this.#mirroredMoves(name, reference);
    if (moves.length === 0)
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `nothing is known of ${formatImage(image)}: it was never here`,
      });
    return { image: formatImage(image), hosted: host === '', moves };
  }

  async restore(text: string, { at, digest }: RestoreTime, by: AskedBy): Promise<RestoreReport> {
    const { image, digest: named } = splitTagAndDigest(text);
    const wantedDigest = digest ?? named;
    const parsed = this.#parseHosted(image, 'only tags of hosted repositories can be restored');
    const { repository, reference } = parsed;
    const wanted = {
      ...(isDigest(reference) ? { digest: reference } : { tag: reference }),
      ...(wantedDigest !== undefined && { digest: parseDigest(wantedDigest) }),
      ...(at !== undefined && { at: parseTime(at) }),
    };
    if (wanted.digest !== undefined && wanted.at !== undefined)
      throw new RegistryError('TAG_INVALID', {
        message: 'a restore goes to a time or to a digest: give one of the two',
      });
    const restored = await this.#hosted().restore(repository, wanted, movedBy(by));
    const tags = restored.tags.map(({ tag, from = null }) => ({ tag, from }));
    return this.#log('restore', { image: formatImage(parsed), ...restored, tags });
  }

  async promote(
    from: string,
    to: string,
    platformTexts: readonly string[],
    by: AskedBy,
  ): Promise<PromoteReport> {
    const { hosts, registry: find } = this.#options;
    const target = this.#parseHosted(to, 'an image can only be promoted to a hosted repository');
    const source = parseImage(from, hosts);
    const { promote } = this.#hosted();
    if (isDigest(target.reference)) {
      const message = `an image is promoted to a tag: name one instead of ${target.reference}`;
      throw new RegistryError('TAG_INVALID', { message });
    }
    if (promote === undefined)
      throw new RegistryError('UNSUPPORTED', { message: 'promote needs a running daemon, and none runs' });
    const registry = find(source.host);
    if (registry === undefined)
      throw new RegistryError('NAME_INVALID', { message: `${source.host} is no upstream of this mirror` });
    const { repository, reference } = source;
    const platforms = platformTexts.map(requirePlatform);
    const place = { name: target.repository, tag: target.reference };
    const promoted = await promote({ registry, repository, reference, platforms }, place, movedBy(by));
    const { from: previous = null, ...done } = promoted;
    return this.#log('promote', { from: formatImage(source), to: formatImage(target), ...done, previous });
  }

  async explainRetention(signal: AbortSignal): Promise<RetentionReport> {
    await this.#options.ready();
    const tags: RetentionOfTag[] = [];
    for await (const { name, decisions } of this.#hosted().explainRetention(signal))
      for (const { rule, ...decision } of decisions)
        tags.push({ repository: name, ...decision, rule: rule === undefined ? null : rule + 1 });
    return { tags };
  }

  async #hostedMoves(name: Repository, tag: Tag): Promise<readonly ReportedMove[]> {
    const moves = await this.#hosted().history(name, tag);
    return moves.map(({ at, to = null, user = null, how, content }) => ({
      at: new Date(at).toISOString(),
      digest: to,
      user,
      how,
      content: to === null ? null : content,
    }));
  }

  async #mirroredMoves(name: string, tag: Tag): Promise<readonly ReportedMove[]> {
    const { records, store } = this.#options;
    const moves: ReportedMove[] = [];
    for (const { at, to = null } of (await records.look(name)).history(tag)) {
      const size = to === null ? undefined : await store.sizeOf(to);
      const content = to === null ? null : size === undefined ? 'gone' : 'held';
      moves.push({ at: new Date(at).toISOString(), digest: to, user: null, how: null, content });
    }
    return moves;
  }

  /** Errors: UNSUPPORTED for an image of an upstream. */
  #parseHosted(text: string, why: string): ImageName {
    const image = parseImage(text, this.#options.hosts);
    if (image.host === '') return image;
    const message = `${image.name} is not hosted here (hosted.repositories): ${why}`;
    throw new RegistryError('UNSUPPORTED', { message });
  }

  #hosted(): HostedTags {
    const { hosted } = this.#options;
    if (hosted !== undefined) return hosted;
    throw new RegistryError('UNSUPPORTED', { message: 'nothing is hosted here (hosted.repositories)' });
  }

  #log<Report extends object>(command: string, report: Report): Report {
    this.#options.logger.info('command', { command, ...report });
    return report;
  }
}

function movedBy({ user = 'operator', signal }: AskedBy): MovedBy {
  return { user, signal };
}

/** `team/app:v1@sha256:…`: to that manifest. With a digest alone the name says it all. */
function splitTagAndDigest(text: string): { readonly image: string; readonly digest?: string } {
  const at = text.lastIndexOf('@');
  const name = at === -1 ? text : text.slice(0, at);
  const hasTag = name.includes(':', name.lastIndexOf('/') + 1);
  return at === -1 || !hasTag ? { image: text } : { image: name, digest: text.slice(at + 1) };
}

function parseTime(text: string): number {
  const ms = Date.parse(text);
  if (!Number.isNaN(ms)) return ms;
  const message = `expected a time such as 2026-11-27T10:00Z, got ${JSON.stringify(text.slice(0, 100))}`;
  throw new RegistryError('TAG_INVALID', { message });
}

function requirePlatform(text: string): Platform {
  const platform = parsePlatformText(text);
  if (platform !== undefined) return platform;
  const message = `expected a platform such as linux/arm64, got ${JSON.stringify(text.slice(0, 100))}`;
  throw new RegistryError('NAME_INVALID', { message });
}
