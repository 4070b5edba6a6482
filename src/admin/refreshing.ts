/** `refresh`: the check of a held tag, now, as a client with `Cache-Control: no-cache` forces it; and what came of it. */
import { isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Caller } from '../registry/caller.ts';
import type { RegistryReader, StaleReason } from '../registry/registry.ts';
import type { Records } from '../store/records/records.ts';
import type { RefreshReport } from './admin.ts';
import { formatImage, type ImageName } from './image-name.ts';
import { notHeld } from './refusals.ts';

export interface RefreshingOptions {
  readonly records: Pick<Records, 'open'>;
  /** Of a configured upstream; undefined: it isn't configured any more. */
  registry(host: string): Pick<RegistryReader, 'manifest'> | undefined;
}

/** Whoever reaches the owner's socket may have everything. */
const owner: Caller = { mayPull: () => true };

const reasons: Readonly<Record<StaleReason, string>> = {
  offline: 'this mirror is offline by its configuration',
  unreachable: 'the upstream cannot be reached',
  slow: 'the upstream did not answer in time, the check goes on behind',
  refused: 'the upstream refused to answer',
  gone: 'the upstream no longer has it',
  'rate-limited': 'the upstream limits requests',
  'pull-quota': 'it has moved, but little is left of the upstream pull limit',
};

/** Errors: MANIFEST_UNKNOWN when the tag isn't held, TAG_INVALID for a digest, DENIED. */
export async function refreshTag(
  { records, registry }: RefreshingOptions,
  image: ImageName,
  signal: AbortSignal,
): Promise<RefreshReport> {
  const { name, host, repository, reference } = image;
  if (isDigest(reference)) {
    const message = `expected a tag to check, got a digest, which never moves: ${reference}`;
    throw new RegistryError('TAG_INVALID', { message });
  }
  const from = (await records.open(name)).tag(reference)?.descriptor.digest;
  if (from === undefined) throw notHeld('MANIFEST_UNKNOWN', formatImage(image));
  const reader = registry(host);
  const still = { image: formatImage(image), from, to: from };
  if (reader === undefined)
    return { ...still, result: 'unknown', reason: 'its upstream is not configured any more' };
  try {
    const answer = await reader.manifest(repository, reference, { signal, mustCheck: true, caller: owner });
    const to = answer.descriptor.digest;
    if (answer.stale === undefined)
      return { ...still, to, result: to === from ? 'same' : 'moved', reason: null };
    const result = answer.stale === 'gone' ? 'gone' : 'unknown';
    return { ...still, result, reason: reasons[answer.stale] };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof RegistryError) || error.code === 'DENIED') throw error;
    const isGone = error.detail?.['reason'] === 'gone';
    return { ...still, result: isGone ? 'gone' : 'unknown', reason: error.message };
  }
}
