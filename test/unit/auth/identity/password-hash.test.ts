/** Hashes of htpasswd files: those that OpenSSL and bcrypt write, those of the specifications, and those that are refused. */
import { execFileSync } from 'node:child_process';
import { hash as bcryptHash } from 'bcrypt';
import { describe, expect, test } from 'vitest';
import { isPasswordOf, parsePasswordHash } from '../../../../src/auth/identity/password-hash.ts';
import { requires } from '../../../support/requires.ts';
import { titled } from '../../../support/titles.ts';

async function isRight(text: string, password: string): Promise<boolean> {
  const hash = parsePasswordHash(text);
  if (typeof hash === 'string') throw new Error(hash);
  return isPasswordOf(hash, password);
}

const passwords = [
  'x',
  'pässword',
  'a'.repeat(16),
  'b'.repeat(17),
  'c'.repeat(64),
  'd'.repeat(200),
  'two words',
];

requires('openssl')('as OpenSSL writes them', () => {
  test.each(['-1', '-apr1', '-5', '-6'])('%s: the password and no other is right', async kind => {
    for (const password of passwords) {
      const text = execFileSync('openssl', ['passwd', kind, '-stdin'], { input: `${password}\n` })
        .toString()
        .trim();
      expect([await isRight(text, password), await isRight(text, `${password}.`)], password).toEqual([
        true,
        false,
      ]);
    }
  });
});

test.each([
  // with rounds of their own, salts at their limits: glibc's crypt(3) for "Hello world!"
  ['$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA'],
  [
    '$6$rounds=1400$anotherlongsalts$5FGyu8c4BZDX4wJgs0Un26YOw2XibT5eTkHF1I1aP3QqStoJI9BHD2YPJYsAjEePVGUyBjdZxcNqMWlrrbIOC.',
  ],
  ['$1$ab$zRhLhQlF.oQpGoCIApPRg1'],
  ['$5$x$Z/ol6rg0oZtxDgF.6L1cvXsK0GGwl5bZohdStRcE8P6'],
  ['{SHA}00hq6RNueFa8QiEjhep5cJRHWAI='],
])('%s', async text => {
  expect([await isRight(text, 'Hello world!'), await isRight(text, 'hello world!')]).toEqual([true, false]);
});

test.each(['a', 'b', 'y'])('bcrypt as $2%s$', async letter => {
  const text = (await bcryptHash('pässword', 4)).replace('$2b$', `$2${letter}$`);
  expect([await isRight(text, 'pässword'), await isRight(text, 'password')]).toEqual([true, false]);
});

describe('refused', () => {
  const tail = 'a'.repeat(53);
  test.each(
    titled([
      ['secretsecret', 'plain text'],
      ['rqXexS6ZhobKA', 'DES'],
      [`$2b$17$${tail}`, 'bcrypt cost of at most 16'],
      [`$2x$10$${tail}`, 'plain text'],
      [`$6$rounds=100001$salt$${'a'.repeat(86)}`, 'at most 100000 rounds'],
      [`$6$salt$${'a'.repeat(43)}`, 'plain text'],
      [`$5$salt$${'a'.repeat(86)}`, 'plain text'],
      ['$apr1$salt$short', 'plain text'],
      ['{SHA}short', 'plain text'],
      ['{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=', 'plain text'],
      ['', 'plain text'],
    ]),
  )('%s', (_title, [text, why]) => {
    const refused = parsePasswordHash(text);
    expect(refused).toContain(why);
    if (text !== '') expect(refused).not.toContain(text);
  });
});

test('thousands of rounds let other work go on in between', async () => {
  let turns = 0;
  const count = () => {
    turns += 1;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  await isRight('$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA', 'x');
  clearImmediate(timer);
  expect(turns).toBeGreaterThanOrEqual(50);
});
