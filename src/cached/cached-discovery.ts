/**
 * Tags and referrers are asked of the upstream each time; only the memory of "there are none" is kept, since clients ask
 * for referrers at every pull and most images have none.
 */
import type { Digest } from '../oci/digest.ts';
import { ociIndex } from '../oci/media-type.ts';
import type { Repository } from '../oci/name.ts';
import type { Origin } from '../registry/origin.ts';
import type { PageOptions, ReadOptions, ReferrersAnswer, TagsPage } from '../registry/registry.ts';
import { UpstreamError } from '../registry/upstream-error.ts';
import type { Absent } from './absent.ts';
import { Flights } from './flights.ts';

const emptyIndex = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [] }));

export interface CachedDiscoveryOptions {
  readonly origin: Origin;
  readonly absent: Absent;
  readonly signal: AbortSignal;
}

export class CachedDiscovery {
  readonly #options: CachedDiscoveryOptions;
  readonly #referrers = new Flights<ReferrersAnswer>();

  constructor(options: CachedDiscoveryOptions) {
    this.#options = options;
  }

  /** One page, as the upstream cuts it. Errors: UpstreamError. */
  tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    return this.#options.origin.tags(repository, options);
  }

  /** Errors: UpstreamError. */
  async referrers(
    recordName: string,
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    const { absent, origin, signal } = this.#options;
    const key = `${recordName}@${digest}`;
    const missed = absent.get(key);
    if (missed?.kind === 'fresh')
      return { outcome: 'hit', checkedAt: missed.at, bytes: emptyIndex, filtered: false };
    try {
      const { query } = options;
      const flight = `${key}?${artifactType ?? ''}?${query ?? ''}`;
      const { value } = await this.#referrers.run(flight, options.signal, () =>
        origin.referrers(repository, digest, artifactType, {
          signal,
          ...(query === undefined ? {} : { query }),
        }),
      );
      if (artifactType === undefined && query === undefined) this.#remember(key, value);
      return value;
    } catch (error) {
      if (!(error instanceof UpstreamError) || missed === undefined) throw error;
      return {
        outcome: 'stale',
        stale: 'unreachable',
        checkedAt: missed.at,
        bytes: emptyIndex,
        filtered: false,
      };
    }
  }

  #remember(key: string, answer: ReferrersAnswer): void {
    if (isEmpty(answer.bytes) && answer.nextQuery === undefined) this.#options.absent.remember(key);
    else this.#options.absent.forget(key);
  }
}

/** A list that is no JSON is the client's to judge: it goes on as it came. */
function isEmpty(bytes: Buffer): boolean {
  try {
    const index: unknown = JSON.parse(bytes.toString('utf8'));
    const manifests =
      typeof index === 'object' && index !== null && 'manifests' in index ? index.manifests : undefined;
    return Array.isArray(manifests) && manifests.length === 0;
  } catch {
    return false;
  }
}
