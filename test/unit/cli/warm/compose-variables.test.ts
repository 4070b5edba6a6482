/** Variables as Compose takes them. */
import { expect, test } from 'vitest';
import { interpolate, parseDotEnv } from '../../../../src/cli/warm/compose-variables.ts';

/** Written with `@` here, because a dollar and a brace in quotes look like a mistake. */
const dollars = (text: string) => text.replaceAll('@', '$');
const variables = { A: 'a', EMPTY: '', NUMBER1: '1' };

test.each([
  ['plain', 'plain'],
  ['@A-@NUMBER1', 'a-1'],
  ['@{A}x', 'ax'],
  ['@NONE.', '.'],
  ['@{NONE:-d}', 'd'],
  ['@{EMPTY:-d}', 'd'],
  ['@{EMPTY-d}', ''],
  ['@{NONE-d}', 'd'],
  ['@{NONE:-@{ALSO:-@{A}}}', 'a'],
  ['@{A:+x}@{NONE:+x}@{EMPTY+y}', 'xy'],
  ['@{A:?must be set}', 'a'],
  ['@@A @@{A}', '@A @{A}'],
])('%s is %j', (text, expected) => {
  expect(interpolate(dollars(text), variables, 'here')).toBe(dollars(expected));
});

test.each([
  ['@{NONE:?set the tag}', 'here: NONE is not set: set the tag'],
  ['@{EMPTY:?}', 'here: EMPTY is not set'],
  ['@{A', 'here: expected a variable such as @{TAG:-latest}, got @{A'],
  ['100@', 'here: expected a variable'],
  ['@{1}', 'here: expected a variable'],
])('%s is refused: %s', (text, message) => {
  expect(() => interpolate(dollars(text), variables, 'here')).toThrow(dollars(message));
});

test('.env: quotes, comments, export, and lines that are none', () => {
  const text = 'A=1\nB = two words # said\nC="# no comment"\nexport D=\'q\'\n\n# E=1\nnonsense\nF=\n';
  expect(parseDotEnv(text)).toEqual({ A: '1', B: 'two words', C: '# no comment', D: 'q', F: '' });
});
