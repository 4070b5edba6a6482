/**
 * Wrappers over an origin and over a blob source: what the wrapper doesn't override is passed on as it is, so nothing is
 * delegated by hand and nothing is lost on the way.
 */
import type { Origin } from './origin.ts';
import type { BlobSource } from './registry.ts';

/** `overrides` may be an object with a prototype: its methods are called on it. The key stays the origin's. */
export function mapOrigin(origin: Origin, overrides: Omit<Partial<Origin>, 'key'>): Origin {
  return {
    key: origin.key,
    resolve: (...asked) => overrides.resolve?.(...asked) ?? origin.resolve(...asked),
    manifest: (...asked) => overrides.manifest?.(...asked) ?? origin.manifest(...asked),
    stat: (...asked) => overrides.stat?.(...asked) ?? origin.stat(...asked),
    blob: (...asked) => overrides.blob?.(...asked) ?? origin.blob(...asked),
    blobSource: (...asked) => overrides.blobSource?.(...asked) ?? origin.blobSource(...asked),
    tags: (...asked) => overrides.tags?.(...asked) ?? origin.tags(...asked),
    referrers: (...asked) => overrides.referrers?.(...asked) ?? origin.referrers(...asked),
    health: () => overrides.health?.() ?? origin.health(),
    close: () => overrides.close?.() ?? origin.close(),
  };
}

/** What a wrapper may say anew of a source. */
export type SourceOverrides = Partial<Pick<BlobSource, 'open' | 'parallel'>>;

/** `override` is called once for the source and once for each of its alternatives: all of them are wrapped. */
export function wrapSource(source: BlobSource, override: (inner: BlobSource) => SourceOverrides): BlobSource {
  const { upstream, repository, parallel, alternatives } = source;
  return {
    upstream,
    repository,
    ...(alternatives !== undefined && {
      alternatives: alternatives.map(alternative => wrapSource(alternative, override)),
    }),
    ...(parallel !== undefined && { parallel }),
    roundTripMs: () => source.roundTripMs?.(),
    open: (offset, options) => source.open(offset, options),
    ...override(source),
  };
}
