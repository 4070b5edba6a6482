/**
 * Deletes in hosted repositories: a tag alone, a manifest with its tags, the link of a blob. What is deleted is answered no
 * longer at once; the bytes go with the collection (docs/registry.md, "Deletes").
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Repository, Tag } from '../oci/name.ts';
import type { RegistryDeleter, WriteOptions } from '../registry/writer.ts';
import { commitDecided } from './commit.ts';
import type { ImmutableTags } from './immutable-tags.ts';
import type { Cause, HostedLog } from './log/hosted-log.ts';

export interface HostedDeletesOptions {
  readonly log: HostedLog;
  readonly immutable: ImmutableTags;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** So many manifests are named in an answer. */
const maxNamed = 100;

export class HostedDeletes implements RegistryDeleter {
  readonly #options: HostedDeletesOptions;

  constructor(options: HostedDeletesOptions) {
    this.#options = options;
  }

  async deleteTag(name: Repository, tag: Tag, options: WriteOptions): Promise<void> {
    const { log, immutable } = this.#options;
    const decide: Parameters<typeof commitDecided>[2] = repository => {
      if (repository?.tag(tag)?.to === undefined) throw unknownManifest(`${name}:${tag}`);
      immutable.requireMutable(name, tag);
      return [{ type: 'untag', tag, ...this.#cause(options) }];
    };
    await commitDecided(log, name, decide, options.signal);
  }

  async deleteManifest(name: Repository, digest: Digest, options: WriteOptions): Promise<void> {
    const { log, immutable } = this.#options;
    const decide: Parameters<typeof commitDecided>[2] = repository => {
      if (repository?.manifest(digest) === undefined) throw unknownManifest(`${name}@${digest}`);
      const fixed = repository.tagsOf(digest).filter(tag => immutable.isImmutable(name, tag));
      if (fixed.length > 0) {
        throw new RegistryError('UNSUPPORTED', {
          message: `${name}@${digest} has tags that hosted.immutable protects: ${fixed.slice(0, 10).join(', ')}`,
          detail: { tags: fixed.slice(0, maxNamed) },
        });
      }
      return [{ type: 'delete-manifest', digest, ...this.#cause(options) }];
    };
    await commitDecided(log, name, decide, options.signal);
  }

  async deleteBlob(name: Repository, digest: Digest, options: WriteOptions): Promise<void> {
    const decide: Parameters<typeof commitDecided>[2] = repository => {
      if (repository?.link(digest) === undefined)
        throw new RegistryError('BLOB_UNKNOWN', { message: `${name} has no blob ${digest}` });
      const own = repository.manifest(digest);
      const needing = own === undefined ? repository.namedBy(digest) : [own, ...repository.namedBy(digest)];
      if (needing.length > 0) {
        const manifests = needing.slice(0, maxNamed).map(({ descriptor }) => descriptor.digest);
        throw new RegistryError('UNSUPPORTED', {
          message: `manifests of ${name} need this blob, delete them first: ${manifests.slice(0, 3).join(', ')}`,
          detail: { manifests },
        });
      }
      return [{ type: 'unlink', digest, ...this.#cause(options) }];
    };
    await commitDecided(this.#options.log, name, decide, options.signal);
  }

  #cause({ caller }: WriteOptions): Cause {
    const { user } = caller;
    return { at: this.#options.now(), ...(user !== undefined && { user }), how: 'delete' };
  }
}

function unknownManifest(image: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', { message: `there is no ${image} here` });
}
