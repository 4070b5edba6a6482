/**
 * Mounts (OCI distribution-spec "Mounting a blob from another repository"): the blob is linked, not copied. The caller must be able to get
 * it from the other repository, hosted or mirrored. Whatever is in the way, the answer is the same, so that it tells nothing: an upload.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/name.ts';
import type { Caller } from '../../registry/caller.ts';
import { canonicalNameOf } from '../../registry/directory.ts';
import type { Mount, Mounted, MountSource, WriteOptions } from '../../registry/writer.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { BlobLinks } from '../blob-links.ts';
import type { HostedLog } from '../log/hosted-log.ts';

/** For everything that is asked of an upstream. */
const askMs = 2000;

export interface MountsOptions {
  readonly log: Pick<HostedLog, 'names' | 'peek'>;
  readonly links: Pick<BlobLinks, 'linkHeld'>;
  /** Bytes; undefined: not held, or known to be bad. */
  readonly sizeOf: (digest: Digest) => Promise<number | undefined>;
  /** Of what the mirror's side holds and any client may pull there: bytes. */
  publicSize(digest: Digest): Promise<number | undefined>;
  readonly logger: Logger;
}

export class Mounts {
  readonly #options: MountsOptions;

  constructor(options: MountsOptions) {
    this.#options = options;
  }

  /** Undefined: not possible. Errors: those of the log, when the link can't be written. */
  async mount(
    repository: Repository,
    { digest, from }: Mount,
    { caller, signal }: WriteOptions,
  ): Promise<Mounted | undefined> {
    const size = await this.#options.sizeOf(digest);
    if (size === undefined) return undefined;
    const isReadable =
      from === undefined
        ? await this.#isReadableSomewhere(digest, caller)
        : await this.#isReadable(from, digest, size, caller, signal);
    if (!isReadable) return undefined;
    const linked = await this.#options.links.linkHeld({
      repository,
      digest,
      user: caller.user,
      how: 'mount',
    });
    return linked === undefined ? undefined : { kind: 'mounted', digest, size: linked };
  }

  async #isReadableSomewhere(digest: Digest, caller: Caller): Promise<boolean> {
    const { log, publicSize } = this.#options;
    if ((await publicSize(digest)) !== undefined) return true;
    return log
      .names()
      .some(name => log.peek(name)?.link(digest) !== undefined && caller.mayPull(name, 'private'));
  }

  /** Asked as a pull of one byte: it obeys the links of that side, and starts no download of what isn't held there any more. */
  async #isReadable(
    from: MountSource,
    digest: Digest,
    size: number,
    caller: Caller,
    outer: AbortSignal,
  ): Promise<boolean> {
    if (!caller.mayPull(canonicalNameOf(from), 'public')) return false;
    const signal = AbortSignal.any([outer, AbortSignal.timeout(askMs)]);
    const range = size === 0 ? undefined : { first: 0, last: 0 };
    try {
      const answer = await from.registry.blob(from.repository, digest, range, { caller, signal });
      await answer.reader.close();
      return answer.outcome === 'hit';
    } catch (error) {
      this.#options.logger.debug('a mount is not possible', { from: canonicalNameOf(from), digest, error });
      return false;
    }
  }
}
