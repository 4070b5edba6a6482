/** Mistakes in YAML that people make: told in plain words, where they were made, with the line. */
import { expect, it } from 'vitest';
import { ConfigDocument } from '../../../../src/config/document.ts';
import { formatProblem } from '../../../../src/config/problem.ts';

function problems(text: string): readonly string[] {
  return new ConfigDocument('m.yml', text).problems.map(formatProblem);
}

it.each([
  [
    'store:\n\tpath: x\n',
    'm.yml:2:1: the line begins with a tab; indent it with blanks, in this line: →path: x',
  ],
  [
    'store:\n  path: "./data\n  max_size: 1GiB\ntags:\n',
    'm.yml:2:1: a quotation mark opens here and is not closed, in this line:   path: "./data',
  ],
  [
    "a: it's # don't\nstore:\n  path: './data\n",
    "m.yml:3:1: a quotation mark opens here and is not closed, in this line:   path: './data",
  ],
  [
    'store:\n  path ./data\n  max_size: 1GiB\n',
    'm.yml:2:3: a key needs a colon and a blank after it, as in "key: value", in this line:   path ./data',
  ],
  [
    'store:\n  path:./data\n  max_size: 1GiB\n',
    'm.yml:2:3: a key needs a colon and a blank after it, as in "key: value", in this line:   path:./data',
  ],
  [
    'store:\n  path: ./data\n   max_size: 1GiB\n',
    'm.yml:3:1: the line begins further to the right than the other keys of its section, in this line:    max_size: 1GiB',
  ],
  [
    'store:\n    path: ./data\n  max_size: 1GiB\n',
    'm.yml:3:1: the line does not begin in the same column as the other keys of its section, in this line:   max_size: 1GiB',
  ],
  [
    'store:\n  path: C: foo: bar\n',
    'm.yml:2:9: a text with a colon in it needs quotes, in this line:   path: C: foo: bar',
  ],
  ['a: @b\n', 'm.yml:1:4: a text that begins with such a character needs quotes, in this line: a: @b'],
  [
    'a: "C:\\data"\n',
    'm.yml:1:7: a backslash in double quotes has a meaning of its own; use single quotes, in this line: a: "C:\\data"',
  ],
  [
    'http:\n  listen: [::]:5000\n',
    'm.yml:2:15: text follows after the end of a value; put all of it in quotes, in this line:   listen: [::]:5000',
  ],
  [
    'http:\n  names: [a, b\nstore:\n  path: x\n',
    'm.yml:2:1: a bracket [ or a brace { that opens here is not closed, in this line:   names: [a, b',
  ],
  ['a: { b: c }}\n', 'm.yml:1:12: a closing bracket or brace has no opening one, in this line: a: { b: c }}'],
])('%j', (text, problem) => {
  expect(problems(text)).toEqual([problem]);
});

it.each([
  'upstreams:\n  docker.io:\n    password: "hunter2\n    share: all\n',
  'upstreams:\n  docker.io: { username: u, password: "hunter2 }\n',
  'upstreams: { docker.io: { proxy: http://u:hunter2@p:1 }}}\n',
  'lru: { redis: { password: hunter2 }}}\n',
  'password:\n  hunter2: x: y: z\n',
  'password: |x\n  hunter2\n',
  'fleet:\n  secret: [hunter2\nstore:\n',
  'fleet:\n  secret: a\n  hunter2"\n\tb: "x\n',
])('no password is shown of %j', text => {
  const found = problems(text);
  expect(found).not.toEqual([]);
  expect(found.join('\n')).not.toContain('hunter2');
});
