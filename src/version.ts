/** The version of this program, as package.json has it: beside `src` and beside `dist`. */
import { readFile } from 'node:fs/promises';

/** `unknown` when package.json doesn't say. Errors: those of reading it. */
export async function readVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
}
