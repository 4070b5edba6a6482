import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatChallenge, parseChallenges, pullScope } from '../../../src/oci/challenge.ts';
import { parseRepository } from '../../../src/oci/name.ts';

type Plain = readonly [scheme: string, parameters: Readonly<Record<string, string>>];

function plain(header: string | readonly string[] | undefined): Plain[] {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

const hub: Plain = [
  'bearer',
  {
    realm: 'https://auth.docker.io/token',
    service: 'registry.docker.io',
    scope: 'repository:library/x:pull',
  },
];

describe('WWW-Authenticate', () => {
  test.each<[string | readonly string[] | undefined, Plain[]]>([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull"',
      [hub],
    ],
    ['Basic', [['basic', {}]]],
    ['Basic realm="a \\"b\\", c"', [['basic', { realm: 'a "b", c' }]]],
    ['BEARER Realm = "x" , SERVICE=y', [['bearer', { realm: 'x', service: 'y' }]]],
    [
      'Bearer realm=https://r.example/token?a=b,service=s',
      [['bearer', { realm: 'https://r.example/token?a=b', service: 's' }]],
    ],
    [
      'Bearer realm="x", Basic realm="y", charset="UTF-8"',
      [
        ['bearer', { realm: 'x' }],
        ['basic', { realm: 'y', charset: 'UTF-8' }],
      ],
    ],
    [
      'Basic, Bearer realm="x"',
      [
        ['basic', {}],
        ['bearer', { realm: 'x' }],
      ],
    ],
    [
      'Negotiate, Bearer realm="x"',
      [
        ['negotiate', {}],
        ['bearer', { realm: 'x' }],
      ],
    ],
    [
      'Negotiate YII/a+b==, Bearer realm="x"',
      [
        ['negotiate', {}],
        ['bearer', { realm: 'x' }],
      ],
    ],
    [
      ['Basic realm="x"', 'Bearer realm="y"'],
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y' }],
      ],
    ],
    ['Bearer realm="first",realm="second"', [['bearer', { realm: 'first' }]]],
    ['Bearer realm="x",scope=""', [['bearer', { realm: 'x', scope: '' }]]],
    ['Bearer realm="x",scope=,service="s"', [['bearer', { realm: 'x', service: 's' }]]],
    [', ,Bearer realm="x",,', [['bearer', { realm: 'x' }]]],
    ['Bearer realm="x", service="never closed', [['bearer', { realm: 'x' }]]],
    ['realm="no scheme"', []],
    ['"Bearer"', []],
    ['', []],
    [[], []],
    [undefined, []],
  ])('%j', (header, expected) => {
    expect(plain(header)).toEqual(expected);
  });

  test('what is formatted is read back as it was, alone and with others', () => {
    const words = fc.string({ unit: fc.constantFrom(...'abcz09-_'), minLength: 1, maxLength: 8 });
    const values = fc.string({ unit: 'grapheme-ascii' });
    const challenge = fc.record({
      scheme: words,
      parameters: fc.uniqueArray(fc.tuple(words, values), { selector: pair => pair[0], maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.array(challenge, { minLength: 1, maxLength: 4 }), list => {
        const challenges = list.map(({ scheme, parameters }) => ({
          scheme,
          parameters: new Map(parameters),
        }));
        const headers = challenges.map(formatChallenge);
        expect(parseChallenges(headers)).toEqual(challenges);
        expect(parseChallenges(headers.join(', '))).toEqual(challenges);
      }),
    );
  });

  test('the form that registries write', () => {
    const parameters = new Map([
      ['realm', 'https://x/token'],
      ['service', 's"'],
    ]);
    expect(formatChallenge({ scheme: 'bearer', parameters })).toBe(
      'Bearer realm="https://x/token",service="s\\""',
    );
  });
});

test('a pull needs the scope of its repository, and pull alone', () => {
  expect(pullScope(parseRepository('library/alpine'))).toBe('repository:library/alpine:pull');
});
