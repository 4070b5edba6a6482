/** The version of this program, read from the package.json next to `src` and `dist`. */
import { readFile } from 'node:fs/promises';

/** `unknown` when package.json doesn't say. Errors: those of reading it. */
export async function readVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
}
