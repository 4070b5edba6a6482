/** `/api/v1/repositories`, `/api/v1/images`, `/api/v1/image` and `/api/v1/offline`: what is held, mirrored and hosted alike. */
import { z } from 'zod';
import { bytes, count, digest, imageText, list, pageQuery, searchText, time } from './values.ts';

/** What the caller may do there. */
export const rights = z.object({ push: z.boolean(), delete: z.boolean(), admin: z.boolean() });

export const repositoriesQuery = pageQuery.extend({ q: searchText.optional() });

export const repositoryRow = z.object({
  name: z.string().describe('canonical: docker.io/library/alpine; hosted names have no host'),
  /** Key of the upstream, or `hosted`. */
  upstream: z.string(),
  visibility: z.enum(['public', 'private', 'unknown']),
  tags: count,
  manifests: count,
  pins: count,
  lastUsedAt: time.nullable(),
  may: rights,
});

export const repositoriesAnswer = z.object({ repositories: list(repositoryRow) });

export const imagesQuery = pageQuery.extend({
  /** Canonical, or as clients write it. Absent: of all repositories. */
  repository: imageText.optional(),
  q: searchText.optional(),
});

export const platformRow = z.object({
  platform: z.string().describe('linux/arm64/v8'),
  digest,
  held: z.boolean().describe('its manifest'),
  complete: z.boolean().describe('it can be pulled with the line cut'),
  /** Config and layers, held or not; null: its manifest isn't held. */
  neededBytes: bytes.nullable(),
  attestations: list(z.object({ digest, held: z.boolean() })),
});

export const imageRow = z.object({
  /** For `image?name=` and for actions: `docker.io/library/alpine:3.20`, or with `@sha256:…`. */
  image: z.string(),
  repository: z.string(),
  upstream: z.string(),
  tag: z.string().nullable(),
  digest,
  mediaType: z.string(),
  kind: z.enum(['image', 'index', 'artifact', 'unknown']),
  /** Of an index; of an image its own, if its config is held. */
  platforms: list(platformRow),
  complete: z.boolean(),
  heldBytes: bytes,
  neededBytes: bytes,
  /** Of `heldBytes`: in no other image, and so freed when this one goes; null: still being counted. */
  ownBytes: bytes.nullable(),
  sharedBytes: bytes.nullable(),
  /** Since when the tag points there, as seen here; of a manifest without tag: since when it is hosted. */
  since: time.nullable(),
  /** When the upstream last confirmed the tag. */
  checkedAt: time.nullable(),
  freshness: z.enum(['fresh', 'stale', 'hosted', 'digest']),
  lastUsedAt: time.nullable(),
  pinned: z.boolean(),
});

export const imagesAnswer = z.object({ images: list(imageRow) });

export const imageQuery = z.object({
  name: imageText,
  /** `os/architecture[/variant]`. Absent: linux/amd64 where there is one, else the first that is held. */
  platform: z.string().max(100).optional(),
});

export const layer = z.object({
  digest,
  mediaType: z.string(),
  bytes: bytes.nullable(),
  held: z.boolean(),
  /** How many images here name it; null: still being counted. */
  images: count.nullable(),
  createdBy: z.string().nullable(),
});

export const imageConfig = z.object({
  createdAt: time.nullable(),
  author: z.string().nullable(),
  user: z.string().nullable(),
  workingDir: z.string().nullable(),
  entrypoint: list(z.string()),
  command: list(z.string()),
  env: list(z.string()),
  ports: list(z.string()),
  volumes: list(z.string()),
  labels: z.record(z.string(), z.string()),
});

export const referrerRow = z.object({
  digest,
  mediaType: z.string(),
  artifactType: z.string().nullable(),
  bytes: bytes.nullable(),
  annotations: z.record(z.string(), z.string()),
  /** By its type: what people look for. */
  kind: z.enum(['signature', 'sbom', 'attestation', 'other']),
});

export const tagMove = z.object({
  at: time,
  digest: digest.nullable().describe('null: the tag was gone from then on'),
  user: z.string().nullable(),
  how: z.string().nullable(),
  content: z.enum(['held', 'deleted', 'gone']).nullable(),
});

export const missingPart = z.object({ kind: z.enum(['manifest', 'blob']), digest, bytes: bytes.nullable() });

export const imageAnswer = z.object({
  image: imageRow,
  may: rights,
  /** The manifest that is shown: of an index the one of the chosen platform; null: it isn't held. */
  manifest: z
    .object({
      platform: z.string().nullable(),
      digest,
      mediaType: z.string(),
      bytes,
      annotations: z.record(z.string(), z.string()),
      layers: list(layer),
      /** Null: the config isn't held, or it isn't an image's. */
      config: imageConfig.nullable(),
      history: list(
        z.object({
          createdAt: time.nullable(),
          createdBy: z.string().nullable(),
          comment: z.string().nullable(),
          emptyLayer: z.boolean(),
        }),
      ),
    })
    .nullable(),
  /** Held ones alone: no upstream is asked. */
  referrers: list(referrerRow),
  /** The newest first. */
  moves: list(tagMove),
  otherTags: list(z.string()).describe('of the same digest'),
  /** What a pull with the line cut would lack; empty: nothing. At most 100. */
  missing: list(missingPart),
});

export const offlineQuery = pageQuery.extend({
  q: searchText.optional(),
  show: z.enum(['all', 'complete', 'incomplete']).default('all'),
});

export const offlineRow = z.object({
  image: z.string(),
  repository: z.string(),
  tag: z.string().nullable(),
  complete: z.boolean(),
  /** At most 20 parts; `missingParts` counts all. */
  missing: list(missingPart),
  missingParts: count,
  missingBytes: bytes,
  may: rights,
});

/** A page may have fewer than `n` entries, even none, and a `Link` to the next: so many images are looked at for one page. */
export const offlineAnswer = z.object({
  images: list(offlineRow),
  /** Of all images that the caller may pull; null: still being counted. */
  summary: z.object({ complete: count, incomplete: count, countedAt: time }).nullable(),
});

export type Rights = z.infer<typeof rights>;
export type RepositoryRow = z.infer<typeof repositoryRow>;
export type RepositoriesQuery = z.infer<typeof repositoriesQuery>;
export type RepositoriesAnswer = z.infer<typeof repositoriesAnswer>;
export type PlatformRow = z.infer<typeof platformRow>;
export type ImageRow = z.infer<typeof imageRow>;
export type ImagesQuery = z.infer<typeof imagesQuery>;
export type ImagesAnswer = z.infer<typeof imagesAnswer>;
export type ImageQuery = z.infer<typeof imageQuery>;
export type ImageLayer = z.infer<typeof layer>;
export type ImageConfig = z.infer<typeof imageConfig>;
export type ReferrerRow = z.infer<typeof referrerRow>;
export type TagMoveRow = z.infer<typeof tagMove>;
export type MissingPart = z.infer<typeof missingPart>;
export type ImageAnswer = z.infer<typeof imageAnswer>;
export type OfflineQuery = z.infer<typeof offlineQuery>;
export type OfflineRow = z.infer<typeof offlineRow>;
export type OfflineAnswer = z.infer<typeof offlineAnswer>;
