/**
 * The paths of the store: no other file builds one. Version 1:
 *
 *     DATA/layout                               {"version":1}; an unknown newer one is refused
 *     DATA/id                                   16 hex digits; names this store in Redis
 *     DATA/owner.sock                           see owner.ts
 *     DATA/blobs-v1/sha256/ab/abcdef…           raw bytes under their digest, manifests too
 *     DATA/ingest-v1/sha256-abcdef….part .json  growing files and their journals
 *     DATA/ingest-v1/tmp-…                      files before their rename; swept after the next start
 *     DATA/quarantine-v1/TIME-INODE-sha256-abcdef… a few files that did not match their digest
 *     DATA/records-v1/HOST/REPOSITORY…/_record  one record per repository
 *     DATA/hosted-v1/REPOSITORY…/_repository    the log of a hosted repository; beside it `_length`, `_copy`, and `_damaged-TIME` after a repair
 *     DATA/spool-v1/TARGET/                     see spool/spool.ts
 *     DATA/report-v1/usage.log                  the daily report: see report-file.ts
 *     DATA/uploads-v1/ID.part .json             upload sessions and their journals
 *     DATA/scrub                                see scrub-file.ts
 *     DATA/tls-v1/ca.pem .key server.pem .key   see tls-files.ts
 *     DATA/auth-v1/token-keys.json              keys of tokens, 0600
 *
 * Paths are made of checked digests and checked names only, so none can leave DATA.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { isOdd, moveOdd, readRegular } from './disk-files.ts';
import { StoreError } from './store-error.ts';

const layoutVersion = 1;
const idPattern = /^[a-f0-9]{16}$/;
/** A host with or without a port, or one component of a repository. 255 bytes is what file systems take. */
const componentPattern = /^(?!.*\.\.)[a-z0-9][a-z0-9._:-]{0,254}$/;
const tempPrefix = 'tmp-';

export type IngestName =
  | { readonly kind: 'part' | 'journal'; readonly digest: Digest }
  | { readonly kind: 'temp' | 'foreign' };

export class StoreLayout {
  /** DATA, absolute. */
  readonly path: string;
  readonly id: string;
  /** Of the temp files of this process, which a sweep must not touch. */
  readonly #bootPrefix = `${tempPrefix}${randomBytes(6).toString('hex')}-`;
  #temps = 0;

  private constructor(path: string, id: string) {
    this.path = path;
    this.id = id;
  }

  /**
   * Opens DATA, or makes it.
   * Errors: `StoreError` LAYOUT for an unknown version or a damaged layout file; system errors as they are.
   */
  static async open(path: string): Promise<StoreLayout> {
    const data = resolve(path);
    const found = await readRegular(join(data, 'layout')).catch(error => {
      if (!isOdd(error)) throw error;
      return ''; // as good as damaged
    });
    if (found !== undefined) checkVersion(data, found); // before a folder is made in a path that may not be a store
    for (const folder of ['ingest-v1', 'blobs-v1', 'records-v1', 'hosted-v1']) {
      // 0750: blobs of private repositories lie here
      await mkdir(join(data, folder), { recursive: true, mode: 0o750 });
    }
    if (found === undefined) await place(data, 'layout', `${JSON.stringify({ version: layoutVersion })}\n`);

    const idPath = join(data, 'id');
    const id = (await readRegular(idPath).catch(() => undefined))?.trim();
    if (id !== undefined && idPattern.test(id)) return new StoreLayout(data, id);
    // a damaged id costs no more than a rebuilt LRU index
    const fresh = randomBytes(8).toString('hex');
    await moveOdd(idPath, join(data, 'ingest-v1', `${tempPrefix}id-${fresh}`));
    await place(data, 'id', `${fresh}\n`);
    return new StoreLayout(data, fresh);
  }

  get ingestFolder(): string {
    return join(this.path, 'ingest-v1');
  }

  get recordsFolder(): string {
    return join(this.path, 'records-v1');
  }

  /** One folder per target of notifications below it. */
  get spoolFolder(): string {
    return join(this.path, 'spool-v1');
  }

  /** Of the daily report. */
  get reportPath(): string {
    return join(this.path, 'report-v1', 'usage.log');
  }

  get uploadsFolder(): string {
    return join(this.path, 'uploads-v1');
  }

  get hostedFolder(): string {
    return join(this.path, 'hosted-v1');
  }

  get tlsFolder(): string {
    return tlsFolderOf(this.path);
  }

  get tokenKeysPath(): string {
    return join(this.path, 'auth-v1', 'token-keys.json');
  }

  get quarantineFolder(): string {
    return join(this.path, 'quarantine-v1');
  }

  get scrubPath(): string {
    return join(this.path, 'scrub');
  }

  /** One folder per algorithm and per first two digits below it. */
  get blobsFolder(): string {
    return join(this.path, 'blobs-v1');
  }

  blobPath(digest: Digest): string {
    return join(this.blobsFolder, this.blobName(digest));
  }

  /** Within the folder of blobs. */
  blobName(digest: Digest): string {
    const hex = hexOf(digest);
    return join(algorithmOf(digest), hex.slice(0, 2), hex);
  }

  partPath(digest: Digest): string {
    return join(this.ingestFolder, `${digest.replace(':', '-')}.part`);
  }

  /** Names sort by time; the inode keeps two of the same moment apart. */
  quarantinePath(digest: Digest, inode: number, nowMs: number): string {
    return join(this.quarantineFolder, `${compactTime(nowMs)}-${inode}-${digest.replace(':', '-')}`);
  }

  journalPath(digest: Digest): string {
    return join(this.ingestFolder, `${digest.replace(':', '-')}.json`);
  }

  /** A new path in `ingest-v1/`, for a file that is renamed or removed later. */
  tempPath(): string {
    this.#temps += 1;
    return join(this.ingestFolder, `${this.#bootPrefix}${this.#temps}`);
  }

  /** `tempPath()` of this process gave that name. */
  isOwnTemp(name: string): boolean {
    return name.startsWith(this.#bootPrefix);
  }

  parseIngestName(name: string): IngestName {
    if (name.startsWith(tempPrefix)) return { kind: 'temp' };
    const match = /^(sha256|sha512)-([a-f0-9]+)\.(part|json)$/.exec(name);
    if (match === null) return { kind: 'foreign' };
    const digest = `${match[1]}:${match[2]}`;
    if (!isDigest(digest)) return { kind: 'foreign' };
    return { kind: match[3] === 'part' ? 'part' : 'journal', digest };
  }

  /**
   * The record of a repository by its canonical name (`docker.io/library/alpine`; hosted: `team/app`).
   * No component of a name begins with `_`, so `_record` of `a` never meets the folder of a repository `a/…`.
   * Errors: NAME_INVALID for a name that could leave the folder. Callers check names too; this is the last check.
   */
  recordPath(canonicalName: string): string {
    return join(this.recordsFolder, ...componentsOf(canonicalName, 'HOST/REPOSITORY'), '_record');
  }

  /** The log of a hosted repository by its name, which has no host. Errors: NAME_INVALID, as `recordPath`. */
  hostedLogPath(repository: string): string {
    return join(this.hostedFolder, ...componentsOf(repository, 'REPOSITORY'), '_repository');
  }

  /** How long the log was when it was last written: a shorter one has lost lines. */
  hostedLengthPath(repository: string): string {
    return join(dirname(this.hostedLogPath(repository)), '_length');
  }

  /** The same lines, not synced: a repair takes from it what the log has lost. */
  hostedCopyPath(repository: string): string {
    return join(dirname(this.hostedLogPath(repository)), '_copy');
  }

  /** Where a repair leaves the damaged log. */
  hostedDamagedPath(repository: string, nowMs: number): string {
    return join(dirname(this.hostedLogPath(repository)), `_damaged-${compactTime(nowMs)}`);
  }
}

/** Also for a store that isn't open. `data`: its path. */
export function tlsFolderOf(data: string): string {
  return join(data, 'tls-v1');
}

function componentsOf(name: string, form: string): string[] {
  const components = name.split('/');
  if (name.length > 1024 || !components.every(component => componentPattern.test(component))) {
    throw new RegistryError('NAME_INVALID', {
      message: `expected ${form} in lower case, got ${JSON.stringify(name.slice(0, 160))}`,
    });
  }
  return components;
}

/** Sorts by time. */
function compactTime(ms: number): string {
  return new Date(ms).toISOString().replaceAll(/[-:.]/g, '');
}

/** By rename, so that a crash leaves no partial file. */
async function place(data: string, name: string, text: string): Promise<void> {
  const temp = join(data, 'ingest-v1', `${tempPrefix}${basename(name)}-${randomBytes(6).toString('hex')}`);
  await writeFile(temp, text, { mode: 0o640, flush: true });
  await rename(temp, join(data, name));
}

function checkVersion(data: string, text: string): void {
  const version = parseVersion(text);
  if (version === layoutVersion) return;
  const file = join(data, 'layout');
  const right = JSON.stringify({ version: layoutVersion });
  const message =
    version === undefined
      ? `store.path: ${file} is damaged, it should say ${right}. If this folder is Cistern's store (it has blobs-v1), remove that ` +
        'file and start again: nothing else is lost. If it is not, set store.path to another folder'
      : `store.path: the store at ${data} has a layout of version ${version}, this Cistern knows version ${layoutVersion}: use a newer ` +
        'Cistern or another store.path';
  throw new StoreError('open', 'LAYOUT', message);
}

function parseVersion(text: string): number | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || !('version' in parsed)) return undefined;
    return typeof parsed.version === 'number' ? parsed.version : undefined;
  } catch {
    return undefined; // not JSON: the caller refuses it with a sentence
  }
}
