/**
 * The journal beside a partial: what of the file can be believed after the process or the machine died.
 *
 * `written` is believed after a crash of the process only (same boot: the page cache survived), `synced` always.
 * Each write replaces the whole file by rename, so a reader sees one state or the next, never a mixture. Whatever it
 * says, the digest decides in the end; a journal that can't be believed costs bytes, never correctness.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import { isMissing } from '../store-error.ts';
import type { Segment } from './segments.ts';
import { Segments } from './segments.ts';

export interface JournalState {
  readonly digest: Digest;
  /** Of the whole blob, in bytes; undefined while the upstream hides it. */
  readonly size: number | undefined;
  /** Where it comes from, for the operator: `docker.io/library/alpine`. */
  readonly source: string;
  readonly written: readonly Segment[];
  readonly synced: readonly Segment[];
}

export interface BelievedPartial {
  readonly size: number | undefined;
  readonly segments: Segments;
  /** What of it is on the disk itself. */
  readonly synced: readonly Segment[];
}

export interface JournalPaths {
  readonly journalPath: string;
  /** A fresh name in the same folder. */
  tempPath(): string;
}

export async function writeJournal(paths: JournalPaths, state: JournalState, bootId: string): Promise<void> {
  const temporary = paths.tempPath();
  try {
    await writeFile(temporary, JSON.stringify({ version: 1, bootId, ...state }));
    await rename(temporary, paths.journalPath);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** What to believe of the partial; undefined when there is no journal or it can't be read. */
export async function readJournal(
  paths: JournalPaths,
  digest: Digest,
  bootId: string,
): Promise<BelievedPartial | undefined> {
  let text: string;
  try {
    text = await readFile(paths.journalPath, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  return parseJournal(text, digest, bootId);
}

function parseJournal(text: string, digest: Digest, bootId: string): BelievedPartial | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value) || value['version'] !== 1 || value['digest'] !== digest) return undefined;
    const size = value['size'];
    if (size !== undefined && !(typeof size === 'number' && Number.isSafeInteger(size) && size >= 0))
      return undefined;
    const isSameBoot = bootId !== '' && value['bootId'] === bootId;
    const synced = parseSegments(value['synced'], size);
    const segments = isSameBoot ? parseSegments(value['written'], size) : synced;
    return { size, segments, synced: synced.toJSON() };
  } catch {
    return undefined; // torn or foreign: the partial counts as empty, and is fetched again
  }
}

/** Errors: any, when it isn't a list of segments. */
function parseSegments(value: unknown, size: number | undefined): Segments {
  if (!Array.isArray(value) || !value.every(isSegment)) throw new TypeError('expected a list of segments');
  const segments = new Segments(value);
  if (size !== undefined) segments.truncate(size);
  return segments;
}

/** Names this boot of the machine; empty where it can't be told, so that only synced bytes are believed. */
export async function readBootId(): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    return '';
  }
}

function isSegment(value: unknown): value is Segment {
  return Array.isArray(value) && value.length === 2 && value.every(part => typeof part === 'number');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
