/** The `hosted` section: its keys, the rules between it and other sections, and the configuration made of it. */
import { z } from 'zod';
import { isHostLike } from '../../oci/name.ts';
import { parseNamePattern, parseTagPattern } from '../address.ts';
import type { HostedConfig } from '../config.ts';
import type { Findings } from '../findings.ts';
import { isSection, refusal, ValueError, valueAt } from '../problem.ts';
import { duration, parsed, parseSize } from '../schema-values.ts';

const hostedPattern = parsed(parseHostedPattern);

const quotaSchema = z
  .strictObject({
    repositories: z.array(hostedPattern).min(1),
    max_size: parsed(parseSize).optional(),
    max_tags: z.int().min(1).max(1_000_000_000).optional(),
  })
  .superRefine((quota, context) => {
    if (quota.max_size === undefined && quota.max_tags === undefined)
      context.addIssue({ code: 'custom', message: 'needs max_size or max_tags' });
  });

const keepSchema = z
  .strictObject({
    newest: z.int().min(1).max(1_000_000_000).optional(),
    pushed_within: duration({ shortest: 1 }).optional(),
    pulled_within: duration({ shortest: 1 }).optional(),
  })
  .superRefine((keep, context) => {
    if (Object.values(keep).every(value => value === undefined))
      context.addIssue({ code: 'custom', message: 'needs newest, pushed_within or pulled_within' });
  });

export const hostedSchema = z.strictObject({
  repositories: z.array(hostedPattern).prefault([]),
  immutable: z.array(parsed(parseImmutablePattern)).prefault([]),
  quotas: z.array(quotaSchema).prefault([]),
  retention: z
    .array(
      z.strictObject({
        repositories: z.array(hostedPattern).min(1).prefault(['**']),
        tags: z.array(parsed(parseTagPattern)).min(1).prefault(['*']),
        keep: keepSchema,
      }),
    )
    .prefault([]),
  read_only: parsed(parseReadOnly).prefault(false),
  upload_ttl: duration().prefault('24h'),
  gc_grace: duration().prefault('24h'),
  undelete: duration().prefault('24h'),
  untagged_ttl: duration().prefault('30d'),
  max_size: parsed(parseSize).prefault(0),
});

/** Reads the raw tree, so that a bad value elsewhere hides nothing. */
export function checkHosted(tree: unknown, findings: Findings): void {
  const fleet = valueAt(tree, ['fleet']);
  const keys = ['name', 'advertise', 'secret', 'secret_file'];
  const isInFleet = isSection(fleet) && keys.some(key => fleet[key] !== undefined);
  if (!isInFleet || !hostsAny(tree)) return;
  findings.report(['hosted', 'repositories'], `cannot be used together with fleet: ${bucketSentence}`, 'key');
}

/** Why a fleet hosts nothing. */
export const bucketSentence = 'hosted content in a fleet needs a bucket, which comes later';

/** By the raw tree. */
export function hostsAny(tree: unknown): boolean {
  const repositories = valueAt(tree, ['hosted', 'repositories']);
  return Array.isArray(repositories) && repositories.length > 0;
}

export function assembleHosted(hosted: z.output<typeof hostedSchema>): HostedConfig {
  return {
    repositories: hosted.repositories,
    immutable: hosted.immutable,
    quotas: hosted.quotas.map(({ repositories, max_size, max_tags }) => ({
      repositories,
      ...(max_size !== undefined && { maxBytes: max_size }),
      ...(max_tags !== undefined && { maxTags: max_tags }),
    })),
    retention: hosted.retention.map(({ repositories, tags, keep }) => ({
      repositories,
      tags,
      keep: {
        ...(keep.newest !== undefined && { newest: keep.newest }),
        ...(keep.pushed_within !== undefined && { pushedWithinMs: keep.pushed_within }),
        ...(keep.pulled_within !== undefined && { pulledWithinMs: keep.pulled_within }),
      },
    })),
    readOnly: hosted.read_only,
    uploadTtlMs: hosted.upload_ttl,
    gcGraceMs: hosted.gc_grace,
    undeleteMs: hosted.undelete,
    untaggedTtlMs: hosted.untagged_ttl,
    maxBytes: hosted.max_size === 0 ? Number.POSITIVE_INFINITY : hosted.max_size,
  };
}

/** A pattern over hosted names, which never begin with a host: one that could only match those of upstreams is a mistake. */
function parseHostedPattern(value: unknown): string {
  const pattern = parseNamePattern(value);
  if (isForHostsAlone(pattern)) {
    const why = 'a first segment with a dot or a colon, or localhost, belongs to an upstream';
    throw new ValueError(`${JSON.stringify(pattern)} matches no hosted repository: ${why}`);
  }
  if (pattern.includes(':')) throw refusal('a pattern over repositories such as "team/**"', value);
  return pattern;
}

/** What stands before the first slash or `**` is in the first segment of every name that matches. */
function isForHostsAlone(pattern: string): boolean {
  const [first = ''] = pattern.split(/\/|\*\*/, 1);
  const isWholeSegment = !pattern.slice(first.length).startsWith('**');
  return isWholeSegment ? isHostLike(first) : /[.:]/.test(first);
}

/** `team/**:v*`: repository patterns and tag patterns, joined by a colon. */
function parseImmutablePattern(value: unknown): string {
  const parts = typeof value === 'string' ? value.split(':') : [];
  const [repositories = '', tags = ''] = parts;
  if (parts.length !== 2) throw refusal('a pattern over repository and tag such as "team/**:v*"', value);
  return `${parseHostedPattern(repositories)}:${parseTagPattern(tags)}`;
}

/** `true`, `false`, or what refused clients are told. A variable of the environment is text. */
function parseReadOnly(value: unknown): boolean | string {
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 'false') return value === 'true';
  if (typeof value === 'string' && value !== '' && value.length <= 300 && !/\p{Cc}/u.test(value))
    return value;
  throw refusal('true, false or a message of one line for those who push', value);
}
