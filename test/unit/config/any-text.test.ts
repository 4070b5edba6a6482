import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ConfigError } from '../../../src/config/problem.ts';
import { ConfigFolder } from './config-folder.ts';

const shipped = await readFile(new URL('../../../mirror.yml', import.meta.url), 'utf8');
const uncommented = shipped.replaceAll(/^( *)#(?=\S)/gm, '$1');

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

/** Loads; every problem must have its place. */
async function expectVerdict(text: string): Promise<void> {
  try {
    await folder.load(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.problems.length).toBeGreaterThan(0);
    for (const problem of error.problems) {
      expect(problem.line).toBeGreaterThan(0);
      expect(problem.line).toBeLessThanOrEqual(text.split('\n').length);
      expect(problem.column).toBeGreaterThan(0);
    }
  }
}

it('any text is a configuration or a list of problems with their places', async () => {
  const piece = fc.constantFrom(
    ...[
      'http',
      'upstreams',
      'docker.io',
      'listen',
      'aliases',
      'tags',
      'tls',
      'timeouts',
      '<<',
      '?',
      '-',
      ':',
      ': ',
      '\n',
      '\n  ',
    ],
    ...[
      ' ',
      '[',
      ']',
      '{',
      '}',
      ',',
      '&a',
      '*a',
      '!t',
      '"',
      "'",
      '|',
      '#',
      '---',
      '0',
      '5s',
      'null',
      'true',
      '\t',
      '__proto__',
      'ü',
      '\r\n',
    ],
  );
  const text = fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join(''));
  await fc.assert(fc.asyncProperty(text, expectVerdict), { numRuns: 300 });
});

it('so is the reference with a hole in it', async () => {
  const hole = fc.tuple(
    fc.nat(uncommented.length),
    fc.integer({ min: 1, max: 60 }),
    fc.constantFrom('', ' ', '\n', ': ', '[', '*a'),
  );
  const text = hole.map(
    ([at, length, filling]) => uncommented.slice(0, at) + filling + uncommented.slice(at + length),
  );
  await fc.assert(fc.asyncProperty(text, expectVerdict), { numRuns: 60 });
});
