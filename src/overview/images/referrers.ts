/**
 * What refers to an image, among what is held: signatures, bills of materials, attestations. By the subject that a manifest names, and by
 * the tags of the fallback schema and of cosign. No upstream is asked.
 */
import type { ReferrerRow } from '../../http/api/schema/images.ts';
import { TimeSlice } from '../../lib/time-slice.ts';
import type { Digest } from '../../oci/digest.ts';
import { parseReferrersTag } from '../../oci/referrer-list.ts';
import type { HeldContent } from '../held/held-content.ts';
import type { HeldReferrer, HeldRepository } from '../held/held-repository.ts';

/** A mirrored repository is read manifest by manifest, up to so many. */
const maxRead = 500;
const maxShown = 200;

export async function listReferrers(
  repository: HeldRepository,
  subject: Digest,
  content: Pick<HeldContent, 'manifest'>,
): Promise<readonly ReferrerRow[]> {
  const found = new Map<Digest, ReferrerRow>();
  const logged = repository.referrers(subject);
  for (const referrer of logged ?? (await bySubject(repository, subject, content)))
    found.set(referrer.digest, rowOf(referrer));
  for (const tag of repository.tags()) {
    const parsed = parseReferrersTag(tag);
    const named = parsed?.subject === subject ? repository.tag(tag) : undefined;
    const suffix = parsed?.suffix ?? '';
    if (named === undefined || found.has(named.digest)) continue;
    if (suffix !== '') {
      const { digest, mediaType } = named;
      const held = await content.manifest(named);
      const row = rowOf({ digest, mediaType, size: held?.size, artifactType: undefined, annotations: {} });
      found.set(digest, { ...row, kind: kindOf(suffix) });
      continue;
    }
    for (const child of (await content.manifest(named))?.parsed.manifests ?? []) {
      if (found.has(child.digest)) continue;
      const held = await content.manifest(child);
      const { artifactType, config, annotations = {} } = held?.parsed ?? {};
      const { digest, mediaType, size } = child;
      found.set(
        digest,
        rowOf({ digest, mediaType, size, artifactType: artifactType ?? config?.mediaType, annotations }),
      );
    }
  }
  return [...found.values()].slice(0, maxShown);
}

async function bySubject(
  repository: HeldRepository,
  subject: Digest,
  content: Pick<HeldContent, 'manifest'>,
): Promise<readonly HeldReferrer[]> {
  const slice = new TimeSlice();
  const referrers: HeldReferrer[] = [];
  let read = 0;
  for (const named of repository.manifests()) {
    if (named.digest === subject) continue;
    if (++read > maxRead) break;
    await slice.pause();
    const held = await content.manifest(named);
    if (held?.parsed.subject?.digest !== subject) continue;
    const { artifactType, config, annotations = {} } = held.parsed;
    const { digest, mediaType } = named;
    const type = artifactType ?? config?.mediaType;
    referrers.push({ digest, mediaType, size: held.size, artifactType: type, annotations });
  }
  return referrers;
}

function rowOf({ digest, mediaType, size, artifactType, annotations }: HeldReferrer): ReferrerRow {
  return {
    digest,
    mediaType,
    artifactType: artifactType ?? null,
    bytes: size ?? null,
    annotations: { ...annotations },
    kind: kindOf(artifactType ?? ''),
  };
}

/** By the words that these types have: there is no closed list of them. */
function kindOf(type: string): ReferrerRow['kind'] {
  if (/spdx|cyclonedx|syft|\bsbom\b/i.test(type)) return 'sbom';
  if (/in-toto|attestation|\batt\b|provenance/i.test(type)) return 'attestation';
  if (/\bsig\b|signature|sigstore|cosign|notary/i.test(type)) return 'signature';
  return 'other';
}
