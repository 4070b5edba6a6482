/**
 * What is known of an upload session, `uploads-v1/ID.json`: whose it is, and which bytes of its part file can be believed after a power
 * cut. After a crash of the process alone (same boot) all bytes of the file are believed. The digest decides in the end: a journal that
 * says too much costs the client a second upload, never correctness.
 */
import { constants } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { type Digest, type DigestAlgorithm, isDigest } from '../../oci/digest.ts';
import { isRepository, type Repository } from '../../oci/name.ts';
import { openRegular } from '../disk-files.ts';

/** What a session is begun with. It never changes. */
export interface UploadRecord {
  /** 32 hex digits: 128 random bits. */
  readonly id: string;
  readonly repository: Repository;
  /** The login name; undefined: anonymous. */
  readonly user: string | undefined;
  /** Milliseconds since the epoch. */
  readonly beganAt: number;
  /** To hash with as bytes come. */
  readonly algorithm: DigestAlgorithm;
  /** What the client said at the beginning that the blob will be. */
  readonly expected: Digest | undefined;
}

export interface UploadJournal {
  readonly record: UploadRecord;
  /** Bytes of the part file that were synced. */
  readonly synced: number;
  /** The boot of the machine in which it was written. */
  readonly bootId: string;
}

const idPattern = /^[a-f0-9]{32}$/;

export function isUploadId(text: string): boolean {
  return idPattern.test(text);
}

/** By rename, so that a crash leaves the old text or the new one. Not synced: a session may be lost by a power cut. Errors: system errors. */
export async function writeUploadJournal(path: string, temp: string, journal: UploadJournal): Promise<void> {
  const { record, synced, bootId } = journal;
  try {
    const handle = await openRegular(temp, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
    const text = JSON.stringify({ version: 1, ...record, synced, bootId });
    await handle.writeFile(`${text}\n`).finally(() => handle.close());
    await rename(temp, path);
  } catch (error) {
    await rm(temp, { force: true });
    throw error;
  }
}

/** Undefined: torn, foreign, or of another version. */
export function parseUploadJournal(text: string, id: string): UploadJournal | undefined {
  const fields = parseObject(text);
  if (fields === undefined || fields['version'] !== 1 || fields['id'] !== id) return undefined;
  const { repository, user, beganAt, algorithm, expected, synced, bootId } = fields;
  if (typeof repository !== 'string' || !isRepository(repository)) return undefined;
  if (user !== undefined && typeof user !== 'string') return undefined;
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return undefined;
  if (expected !== undefined && (typeof expected !== 'string' || !isDigest(expected))) return undefined;
  if (!isCount(beganAt) || !isCount(synced) || typeof bootId !== 'string') return undefined;
  return { record: { id, repository, user, beganAt, algorithm, expected }, synced, bootId };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // torn by a power cut, or foreign
  }
}
