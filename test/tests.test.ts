/** Every test file is found from the file that it guards: by its name, or by the table in docs/testing.md. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const text = readFileSync(join(root, 'docs/testing.md'), 'utf8');
/** The paths of each row: the test file, then what it guards. */
const rows = Array.from(
  text.matchAll(/^\| (`test\/\S+\.test\.ts`) \|.*\| ([^|]+) \|$/gm),
  ([, file, guarded]) => Array.from(`${file} ${guarded}`.matchAll(/`([^`]+)`/g), ([, path = '']) => path),
);
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter(path => path.endsWith('.test.ts'))
  .map(path => `test/${path}`);

/** The file that a unit test guards by its own name. */
function guardedByName(file: string): string | undefined {
  const [, path] = /^test\/unit\/(.+)\.test\.ts$/.exec(file) ?? [];
  if (path === undefined) return undefined;
  const guarded = path.startsWith('support/') ? `test/${path}.ts` : `src/${path}.ts`;
  return existsSync(join(root, guarded)) ? guarded : undefined;
}

test('every test file has the name of what it guards, or a row in docs/testing.md, and not both', () => {
  expect(guardedByName('test/unit/oci/digest.test.ts')).toBe('src/oci/digest.ts');
  const unnamed = files.filter(file => guardedByName(file) === undefined);
  expect(rows.map(([file]) => file).sort()).toEqual(unnamed.sort());
});

test('every row names what it guards, and every path of it exists', () => {
  expect(rows.filter(paths => paths.length < 2)).toEqual([]);
  expect(rows.flat().filter(path => !existsSync(join(root, path)))).toEqual([]);
});
