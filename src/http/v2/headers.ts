/**
 * Header fields of `/v2/`: what a client's conditions ask (RFC 9110 13) and what an answer says of itself. The entity tag
 * is the quoted digest. There are no modification dates, so conditions on dates never hold.
 */
import type { Digest, ForeignDigest } from '../../oci/digest.ts';
import { formatWarning } from '../../oci/header-fields.ts';
import type { Answer, StaleReason } from '../../registry/registry.ts';
import type { AppContext } from '../exchange.ts';

/** On all of `/v2/`. */
export const apiVersionHeader = 'Docker-Distribution-API-Version';
export const apiVersion = 'registry/2.0';
export const digestHeader = 'Docker-Content-Digest';

/** Visible ASCII. A known `ns` and a media type from a manifest's body may hold other characters. */
export function isFitForHeader(value: string): boolean {
  return /^[!-~]+$/.test(value);
}

export function formatEntityTag(digest: Digest | ForeignDigest): string {
  return `"${digest}"`;
}

/** `If-None-Match` names this content or is `*`, so the answer is 304 (RFC 9110 13.1.2). `W/` makes no difference. */
export function isNotModified(ifNoneMatch: string | undefined, digest: Digest): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  const wanted = formatEntityTag(digest);
  return splitEntityTags(ifNoneMatch).some(tag => tag === wanted);
}

/** Whether `Range` counts (RFC 9110 13.1.5): without `If-Range`, or when that holds this content's strong tag. */
export function isRangeCurrent(ifRange: string | undefined, digest: Digest | ForeignDigest): boolean {
  return ifRange === undefined || ifRange.trim() === formatEntityTag(digest);
}

/** The client wants the upstream to be asked: `no-cache` or `max-age=0` (RFC 9111 5.2.1). */
export function mustCheck(cacheControl: string | undefined): boolean {
  if (cacheControl === undefined) return false;
  return cacheControl.split(',').some(part => /^\s*(?:no-cache|max-age\s*=\s*"?0+"?)\s*$/i.test(part));
}

/** The opaque tags of a list, without their `W/`. Text that is no tag is left out. */
function splitEntityTags(list: string): string[] {
  return [...list.matchAll(/(?:^|,)\s*(?:W\/)?("[^"]*")\s*(?=,|$)/g)].map(match => match[1] ?? '');
}

/** Digest and entity tag, on 200, 206 and 304 alike. Only of an answer that the registry has given: an error has none. */
export function setContentNames(context: AppContext, digest: Digest | ForeignDigest): void {
  context.set(digestHeader, digest);
  context.set('ETag', formatEntityTag(digest));
}

/** An answer without a body. Koa would send the name of the status as text. */
export function answerEmpty(context: AppContext, status: number): void {
  context.body = null; // sets a status of its own
  context.status = status;
}

const reasons: Readonly<Record<StaleReason, string>> = {
  offline: 'this mirror is offline',
  unreachable: 'the upstream cannot be reached',
  slow: 'the upstream did not answer in time',
  refused: 'the upstream refused to answer',
  gone: 'the upstream no longer has it',
  'rate-limited': 'the upstream limits requests',
  'pull-quota': 'little is left of the upstream pull limit',
};

/**
 * Records the outcome and marks a stale answer: `Warning` (OCI distribution-spec "Warnings") says why it was not checked,
 * `Age` (RFC 9111 5.1) how many seconds ago the upstream last confirmed it.
 */
export function setFreshness(context: AppContext, answer: Answer, nowMs: number): void {
  context.state.exchange.record(answer);
  if (answer.stale === undefined) return;
  context.set('Warning', formatWarning(`served from the mirror without a check: ${reasons[answer.stale]}`));
  if (answer.checkedAt !== undefined) {
    context.set('Age', String(Math.max(0, Math.floor((nowMs - answer.checkedAt) / 1000))));
  }
}
