/** The version of this program, read from the package.json next to `src` and `dist`, and the commit that was built. */
import { readFile } from 'node:fs/promises';

/** `unknown` when package.json doesn't say. Errors: those of reading it. */
export async function readVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
}

/** `0.1.0 (75658e6)`; without the commit where the build couldn't know it. */
export async function readFullVersion(): Promise<string> {
  const version = await readVersion();
  const text = await readFile(new URL('./build.json', import.meta.url), 'utf8').catch(() => '{}'); // not built
  const build: unknown = JSON.parse(text);
  const commit = typeof build === 'object' && build !== null && 'commit' in build ? build.commit : null;
  return typeof commit === 'string' ? `${version} (${commit})` : version;
}
