/** A figure that the built daemon keeps itself: a module of this folder, loaded before it, writes it to a file at SIGPWR. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { spawnTestMirror, type TestMirrorOptions } from './mirror.ts';
import { tempDir } from './temp-dir.ts';

export async function spawnWithFigure(
  name: 'count-parses' | 'young-generation',
  options: TestMirrorOptions,
): Promise<{ readonly url: string; figure(): Promise<number> }> {
  const file = join(await tempDir(), 'figure');
  const preload = { name, env: { CISTERN_TEST_FIGURE: file } };
  const { url, process: daemon } = await spawnTestMirror({ ...options, preload });
  const figure = async (): Promise<number> => {
    await rm(file, { force: true });
    daemon.signal('SIGPWR');
    const read = () => readFile(file, 'utf8').catch(() => '');
    await expect.poll(read).not.toBe('');
    return Number(await read());
  };
  return { url, figure };
}
