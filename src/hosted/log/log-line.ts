/**
 * What stands in the lines of a hosted log: one line per commit, with its changes. Lines and changes of types that this version doesn't
 * know are kept as they are, so that a newer version finds them again.
 */
import { type Digest, isDigest } from '../../oci/digest.ts';
import { type Descriptor, parseDescriptor } from '../../oci/manifest.ts';
import { isTag, type Tag } from '../../oci/name.ts';
import type { Cause, HostedChange, TagMove } from './hosted-log.ts';

/** What a compaction writes beside the changes of a commit: the moves of one tag, as they are remembered. */
export interface RememberedMoves {
  readonly type: 'moves';
  readonly tag: Tag;
  /** The oldest first. */
  readonly moves: readonly TagMove[];
}

export type LoggedChange = HostedChange | RememberedMoves;

export interface LogLine {
  readonly changes: readonly LoggedChange[];
  /** As they were found: a line, or changes of one. */
  readonly foreign: unknown;
}

/** The value of one line. */
export function formatLogLine(changes: readonly LoggedChange[]): unknown {
  return { type: 'changes', changes };
}

/** Undefined: malformed, although its checksum is right. */
export function parseLogLine(value: unknown): LogLine | undefined {
  if (!isObject(value) || typeof value.type !== 'string') return undefined;
  if (value.type !== 'changes') return { changes: [], foreign: value };
  if (!Array.isArray(value.changes)) return undefined;
  const changes: LoggedChange[] = [];
  const foreign: unknown[] = [];
  for (const item of value.changes) {
    const change = parseChange(item);
    if (change === undefined) return undefined;
    if (change === 'foreign') foreign.push(item);
    else changes.push(change);
  }
  return { changes, foreign: foreign.length === 0 ? undefined : { type: 'changes', changes: foreign } };
}

function parseChange(value: unknown): LoggedChange | 'foreign' | undefined {
  if (!isObject(value) || typeof value.type !== 'string') return undefined;
  const { type, digest, tag, at, size } = value;
  if (type === 'pulled') return isDigestText(digest) && isTime(at) ? { type, digest, at } : undefined;
  if (type === 'moves') return isTagText(tag) ? parseMoves(tag, value.moves) : undefined;
  switch (type) {
    case 'link': {
      const cause = parseCause(value);
      return cause && isDigestText(digest) && isCount(size) ? { type, digest, size, ...cause } : undefined;
    }
    case 'manifest':
      return parseManifestChange(value);
    case 'tag': {
      const cause = parseCause(value);
      return cause && isTagText(tag) && isDigestText(digest) ? { type, tag, digest, ...cause } : undefined;
    }
    case 'untag': {
      const cause = parseCause(value);
      return cause && isTagText(tag) ? { type, tag, ...cause } : undefined;
    }
    case 'unlink':
    case 'delete-manifest':
    case 'undelete-manifest':
    case 'drop-manifest': {
      const cause = parseCause(value);
      return cause && isDigestText(digest) ? { type, digest, ...cause } : undefined;
    }
    default:
      return 'foreign';
  }
}

function parseManifestChange(value: Fields): LoggedChange | undefined {
  const cause = parseCause(value);
  const descriptor: Descriptor | undefined = parseDescriptor(value.descriptor);
  const { tags, names, artifactType, annotations, subject, pulledAt } = value;
  if (cause === undefined || descriptor === undefined || !isListOf(tags, isTagText)) return undefined;
  if (!isListOf(names, isDigestText)) return undefined;
  return {
    type: 'manifest',
    ...cause,
    descriptor,
    tags,
    names,
    ...(typeof artifactType === 'string' && { artifactType }),
    ...(isTexts(annotations) && { annotations }),
    ...(isDigestText(subject) && { subject }),
    ...(isTime(pulledAt) && { pulledAt }),
  };
}

function parseMoves(tag: Tag, value: unknown): RememberedMoves | undefined {
  if (!Array.isArray(value)) return undefined;
  const moves: TagMove[] = [];
  for (const item of value) {
    const cause = isObject(item) ? parseCause(item) : undefined;
    if (!isObject(item) || cause === undefined) return undefined;
    const { from, to } = item;
    moves.push({ tag, ...(isDigestText(from) && { from }), ...(isDigestText(to) && { to }), ...cause });
  }
  return { type: 'moves', tag, moves };
}

/** `how` of a newer version is kept as it is. */
function parseCause({ at, user, how }: Fields): Cause | undefined {
  if (!isTime(at) || !isHow(how)) return undefined;
  return { at, ...(typeof user === 'string' && { user }), how };
}

function isHow(value: unknown): value is Cause['how'] {
  return typeof value === 'string';
}

interface Fields {
  readonly type?: unknown;
  readonly changes?: unknown;
  readonly moves?: unknown;
  readonly digest?: unknown;
  readonly size?: unknown;
  readonly tag?: unknown;
  readonly tags?: unknown;
  readonly from?: unknown;
  readonly to?: unknown;
  readonly at?: unknown;
  readonly user?: unknown;
  readonly how?: unknown;
  readonly descriptor?: unknown;
  readonly names?: unknown;
  readonly artifactType?: unknown;
  readonly annotations?: unknown;
  readonly subject?: unknown;
  readonly pulledAt?: unknown;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

function isDigestText(value: unknown): value is Digest {
  return typeof value === 'string' && isDigest(value);
}

function isTagText(value: unknown): value is Tag {
  return typeof value === 'string' && isTag(value);
}

function isTime(value: unknown): value is number {
  return typeof value === 'number';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0;
}

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.every(isItem);
}

function isTexts(value: unknown): value is Readonly<Record<string, string>> {
  return isObject(value) && Object.values(value).every(text => typeof text === 'string');
}
