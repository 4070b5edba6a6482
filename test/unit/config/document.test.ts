import { describe, expect, it } from 'vitest';
import { ConfigDocument } from '../../../src/config/document.ts';
import { formatProblem } from '../../../src/config/problem.ts';

function read(text: string): ConfigDocument {
  return new ConfigDocument('m.yml', text);
}

function problems(text: string): readonly string[] {
  return read(text).problems.map(formatProblem);
}

describe('the tree of a document', () => {
  it.each(['', '\n', '# only a comment\n', '---\n', '---\n...\n', 'null\n'])('is empty for %j', text => {
    expect(read(text).tree).toEqual({});
    expect(problems(text)).toEqual([]);
  });

  it('has no keys without a value', () => {
    expect(read('a:\nb: ~\nc: { d: }\ne: [{ f: }]\n').tree).toEqual({ c: {}, e: [{}] });
  });

  it('has what anchors, aliases and merge keys stand for', () => {
    const text = 'a: &a { x: 1, y: 2 }\nb: *a\nc: { <<: *a, y: 3 }\nd: { <<: [*a, { z: 4 }] }\n';
    expect(read(text).tree).toEqual({
      a: { x: 1, y: 2 },
      b: { x: 1, y: 2 },
      c: { x: 1, y: 3 },
      d: { x: 1, y: 2, z: 4 },
    });
    expect(problems(text)).toEqual([]);
  });
});

describe('the place of a setting', () => {
  const document = read(
    [
      'base: &base',
      '  ttl: 5s',
      'tags:',
      '  <<: *base',
      '  list: [a, "b"]',
      'other: *base',
      'none:',
      'tags2: 1',
      '',
    ].join('\n'),
  );

  it.each([
    [['tags'], 'key', 3, 1],
    [['tags', 'list'], 'key', 5, 3],
    [['tags', 'list'], 'value', 5, 9],
    [['tags', 'list', 1], 'value', 5, 13],
    [['other'], 'value', 6, 8],
    [['other', 'ttl'], 'value', 2, 8],
    [['tags', 'ttl'], 'value', 2, 8],
    [['none'], 'value', 7, 1],
  ] as const)('%j (%s) is line %d, column %d', (path, target, line, column) => {
    expect(document.locate([...path], target)).toEqual({ line, column });
  });

  it.each([[['nowhere']], [['tags', 'list', 2]], [['tags2', 'x']], [['tags', 0]]])('%j has none', path => {
    expect(document.locate(path, 'value')).toBeUndefined();
  });
});

describe('what YAML allows and a configuration does not', () => {
  it('is a key given twice, each time with the line of the first', () => {
    const text = 'a: 1\nb:\n  c: 1\n  c: 2\na: 3\na: 4\n';
    expect(problems(text)).toEqual([
      'm.yml:4:3: b.c: given twice; first on line 3',
      'm.yml:5:1: a: given twice; first on line 1',
      'm.yml:6:1: a: given twice; first on line 1',
    ]);
    expect(read(text).tree).toEqual({ a: 4, b: { c: 2 } });
  });

  it.each([
    ['a: 1\n---\nb: 2\n', 'm.yml:2:1: expected one document, got a second one after ---'],
    [
      'a: *nobody\n',
      'm.yml:1:4: a: no anchor of that name before this alias (a text that begins with * needs quotes)',
    ],
    ['a: &a\n  b: [*a]\n', 'm.yml:2:7: a.b[0]: an alias inside of what it stands for'],
    ['a: !odd 1\n', 'm.yml:1:4: unknown tag (a text that begins with ! needs quotes)'],
    ['a: { <<: 3 }\n', 'm.yml:1:10: a: expected sections after <<'],
    ['{[a]: 1}\n', 'm.yml:1:2: expected a plain word as key (a text that begins with { or [ needs quotes)'],
    [': 1\n', 'm.yml:1:1: expected a plain word as key (a text that begins with { or [ needs quotes)'],
  ])('is %j', (text, problem) => {
    expect(problems(text)).toEqual([problem]);
  });

  it('is a bomb of aliases', () => {
    const levels = Array.from({ length: 9 }, (_, level) => {
      const item = level === 0 ? 'x' : `*l${level - 1}`;
      return `l${level}: &l${level} [${Array.from({ length: 9 }, () => item).join(', ')}]`;
    });
    expect(problems(`${levels.join('\n')}\n`)).toEqual(['m.yml:1:1: too many aliases of aliases']);
  });

  it('never shows a password, though it shows the line', () => {
    for (const text of [
      'password: *hunter2',
      'password: !hunter2',
      'password: @hunter2',
      'password: "hunter2',
      'password: [hunter2',
      'password: a: hunter2',
    ]) {
      const found = problems(text);
      expect(found).not.toEqual([]);
      expect(found.join('\n')).not.toContain('hunter2');
    }
  });
});
