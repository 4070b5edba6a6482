/** What the build made of the page: small, complete by itself, and named by its content. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesUnder } from '../support/temp-dir.ts';

const folder = join(import.meta.dirname, '../../dist/ui');
const maxBytes = 150_000;

test('the whole page is under 150 kB, compressed either way', async () => {
  const files = await filesUnder(folder);
  const plain = files.filter(name => !/\.(?:br|gz)$/.test(name));
  expect(plain.length).toBeGreaterThanOrEqual(4);
  for (const ending of ['.br', '.gz']) {
    const sizes = plain.map(name => statSync(join(folder, `${name}${ending}`)).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(maxBytes);
  }
});

test('it loads nothing from elsewhere, and has no code or style that the policy stops', async () => {
  const html = readFileSync(join(folder, 'index.html'), 'utf8');
  const loaded = Array.from(html.matchAll(/(?:src|href)="([^"]*)"/g), ([, url]) => url);
  expect(loaded.length).toBeGreaterThanOrEqual(3);
  expect(loaded.filter(url => !/^\/ui\/assets\/[\w-]+-[\w-]{8}\.\w+$/.test(url ?? ''))).toEqual([]);
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/);
  for (const name of (await filesUnder(folder)).filter(file => file.endsWith('.css')))
    expect(readFileSync(join(folder, name), 'utf8')).not.toMatch(/url\(|@import/);
});
