/**
 * Temporary directories that are gone after the test, and a look at what is in one.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { onTestFinished } from 'vitest';

/** Inside a test: removed when that test ends. `parent` for another file system than that of the temp folder. */
export async function tempDir(parent = tmpdir()): Promise<string> {
  const { path, remove } = await makeTempDir(parent);
  onTestFinished(remove);
  return path;
}

/** Outside a test (beforeAll, a bench): the caller removes it. Short names, so that a socket path fits. */
export async function makeTempDir(parent = tmpdir()): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(parent, 'ct-'));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 3 }) };
}

/** Relative paths of all that is no directory, sorted. A file that vanishes meanwhile is left out. */
export async function filesUnder(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter(entry => !entry.isDirectory())
    .map(entry => relative(directory, join(entry.parentPath, entry.name)))
    .sort();
}
