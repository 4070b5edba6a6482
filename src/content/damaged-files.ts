/**
 * Hosted files that are not what their names say. They stay in their place, and are forgotten when the right bytes are there, or when no
 * repository links them any more.
 */
import type { Digest } from '../oci/digest.ts';
import type { ScrubDamage } from '../registry/scrub-report.ts';
import type { DamagedFile } from '../store/scrub-file.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ScrubSource } from './scrub-pass.ts';

export interface DamagedFilesOptions {
  readonly source: Pick<ScrubSource, 'files' | 'isHosted'>;
  /** Canonical names of some repositories that have it. Never throws. */
  repositoriesOf(digest: Digest): Promise<readonly string[]>;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

const maxDamaged = 1000;
const shownDigests = 10;

export class DamagedFiles {
  readonly #options: DamagedFilesOptions;
  readonly #files = new Map<Digest, DamagedFile>();

  constructor(options: DamagedFilesOptions) {
    this.#options = options;
  }

  /** Those of an earlier process: they count as not held. */
  load(files: readonly DamagedFile[]): void {
    const { source, logger } = this.#options;
    for (const file of files) {
      this.#files.set(file.digest, file);
      if (file.problem === 'damaged') source.files.bad.remember(file.digest, file.fileId);
    }
    if (files.length === 0) return;
    const digests = files.slice(0, shownDigests).map(({ digest }) => digest);
    logger.error('pushed files are damaged: push their images again', { files: files.length, digests });
  }

  /** As they are kept for the next process. */
  list(): readonly DamagedFile[] {
    return [...this.#files.values()];
  }

  /** Told once. Above 1,000 a file waits until others are healed: the next run finds it. */
  add(file: Omit<DamagedFile, 'foundMs'>, repositories: readonly string[]): void {
    const { logger, now } = this.#options;
    const known = this.#files.get(file.digest);
    if (known === undefined) {
      const message = file.problem === 'missing' ? 'a pushed file is missing' : 'a pushed file is damaged';
      logger.error(`${message}: push its image again`, { digest: file.digest, repositories });
      if (this.#files.size >= maxDamaged) return;
    }
    this.#files.set(file.digest, { ...file, foundMs: known?.foundMs ?? now() });
  }

  async forgetHealed(): Promise<void> {
    const { isHosted, files } = this.#options.source;
    for (const digest of this.#files.keys()) {
      if (isHosted(digest)) {
        const held = await files.open(digest);
        if (held === undefined) continue;
        await held.close();
      }
      this.#files.delete(digest);
      this.#options.logger.info('a damaged pushed file is whole again, or no longer needed', { digest });
    }
  }

  /** As they are now. */
  async describe(): Promise<readonly ScrubDamage[]> {
    await this.forgetHealed();
    return Promise.all(
      Array.from(this.#files.values(), async file =>
        describeDamage(file, await this.#options.repositoriesOf(file.digest)),
      ),
    );
  }

  async count(): Promise<number> {
    await this.forgetHealed();
    return this.#files.size;
  }
}

function describeDamage(
  { digest, problem, foundMs }: DamagedFile,
  repositories: readonly string[],
): ScrubDamage {
  return { digest, problem, repositories, foundAt: new Date(foundMs).toISOString() };
}
