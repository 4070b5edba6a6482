/**
 * Headers that say what an answer is and how far it can be trusted to be current. Set right before an answer goes out,
 * never before the registry has given it: an error must not carry them.
 */
import type { Digest } from '../../oci/digest.ts';
import { formatWarning } from '../../oci/header-fields.ts';
import type { Answer, StaleReason } from '../../registry/registry.ts';
import type { AppContext } from '../exchange.ts';
import { formatEntityTag } from './conditional.ts';

/** On all of `/v2/`. */
export const apiVersionHeader = 'Docker-Distribution-API-Version';
export const apiVersion = 'registry/2.0';
export const digestHeader = 'Docker-Content-Digest';

/**
 * Visible ASCII. An `ns` that is known need not be: look-ups ignore case, and not all that has a lower case is ASCII.
 * Nor need a media type that only stands in a manifest's body.
 */
export function isFitForHeader(value: string): boolean {
  return /^[!-~]+$/.test(value);
}

const reasons: Readonly<Record<StaleReason, string>> = {
  offline: 'this mirror is offline',
  unreachable: 'the upstream cannot be reached',
  slow: 'the upstream did not answer in time',
  refused: 'the upstream refused to answer',
  gone: 'the upstream no longer has it',
  'rate-limited': 'the upstream limits requests',
  budget: 'little is left of the upstream pull limit',
};

/** Digest and entity tag of the content: on 200, 206 and 304 alike. */
export function setContentNames(context: AppContext, digest: Digest): void {
  context.set(digestHeader, digest);
  context.set('ETag', formatEntityTag(digest));
}

/**
 * Notes the outcome, and marks an answer that could not be checked: `Warning` (OCI distribution-spec "Warnings") says
 * why, `Age` (RFC 9111 5.1) how many seconds ago the upstream last confirmed it.
 */
export function setFreshness(context: AppContext, answer: Answer, nowMs: number): void {
  context.state.exchange.record(answer);
  if (answer.stale === undefined) return;
  context.set('Warning', formatWarning(`served from the mirror without a check: ${reasons[answer.stale]}`));
  if (answer.checkedAt !== undefined) {
    context.set('Age', String(Math.max(0, Math.floor((nowMs - answer.checkedAt) / 1000))));
  }
}
