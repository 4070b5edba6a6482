/** Lines of htpasswd, checks against them, and how hashing is shared between addresses. */
import { describe, expect, test } from 'vitest';
import { type Htpasswd, HtpasswdUsers, parseHtpasswd } from '../../../../src/auth/identity/htpasswd.ts';

const tail = `$05$${'a'.repeat(53)}`;
const apr1 = `$apr1$salt$${'a'.repeat(22)}`;

describe('a file', () => {
  test('has names and hashes of every kind; of two lines for one name the last counts', async () => {
    const text = `# users\r\n\nalice:$2y${tail}\r\nbob:${apr1}\n carol:$2a${tail} \nalice:$2b${tail}`;
    const { hashes, flaws } = await parseHtpasswd(text);
    expect(Array.from(hashes, ([name, { kind, text: hash }]) => [name, kind, hash])).toEqual([
      ['alice', 'bcrypt', `$2b${tail}`],
      ['bob', 'md5', apr1],
      ['carol', 'bcrypt', `$2a${tail}`],
    ]);
    expect(flaws).toEqual([]);
  });

  test('is told about other lines by their number, never by what they say', async () => {
    const lines = ['a:{SHA}secret', 'b:$apr1$secret', 'c:secret', 'secret', `:$2b${tail}`, 'd:secretsecret1'];
    const { hashes, flaws } = await parseHtpasswd(lines.join('\n'));
    expect(hashes.size).toBe(0);
    expect(flaws.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(JSON.stringify(flaws)).not.toContain('secret');
    expect(flaws.at(-1)?.message).toContain('DES');
  });

  test('of 100,000 lines is read in slices, so that requests go on in between', async () => {
    const text = Array.from({ length: 100_000 }, (_, n) => `user${n}:$2y${tail}\n`).join('');
    let turns = 0;
    const count = () => {
      turns += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    const { hashes } = await parseHtpasswd(text);
    clearImmediate(counting);
    expect([hashes.size, turns > 1]).toEqual([100_000, true]);
  });
});

/** Passwords that were hashed, each answered by `answer`. */
function rig(file: { current: Htpasswd }, cores = 4) {
  const asked: string[] = [];
  const waiting: (() => void)[] = [];
  const users = new HtpasswdUsers({
    load: async () => file.current,
    cores,
    isPasswordOf: (hash, password) => {
      asked.push(password);
      return new Promise(resolve => waiting.push(() => resolve(hash.text.endsWith(`of ${password}`))));
    },
  });
  const answer = () => {
    for (const one of waiting.splice(0)) one();
  };
  return { users, asked, answer };
}
const withHash = (text: string): Htpasswd => ({
  hashes: new Map([['alice', { text, kind: 'bcrypt' }]]),
  flaws: [],
});
const turn = () => new Promise(resolve => setImmediate(resolve));

test('a check says right, wrong or unknown, and the version changes with the hash', async () => {
  const file = { current: withHash('hash of p') };
  const { users, answer, asked } = rig(file);
  const check = async (name: string, password: string) => {
    const done = users.check({ name, password }, '');
    await turn();
    answer();
    return done;
  };
  expect(await check('alice', 'p')).toEqual({ user: 'alice', groups: [] });
  expect(await check('alice', 'x')).toBe('wrong');
  expect(await check('bob', 'p')).toBeUndefined();
  expect(asked).toEqual(['p', 'x']);
  const version = await users.versionOf('alice');
  file.current = withHash('hash of q');
  expect(await users.versionOf('alice')).not.toBe(version);
  expect(await users.versionOf('bob')).toBe('');
  expect(version).not.toContain('hash');
});

test('beside 60 wrong logins of one address, another address waits for one hash, not for sixty', async () => {
  const { users, asked, answer } = rig({ current: withHash('hash of p') });
  const wrong = Array.from({ length: 60 }, (_, n) =>
    users.check({ name: 'alice', password: `wrong ${n}` }, '192.0.2.1'),
  );
  await expect.poll(() => asked.length).toBe(2);
  const right = users.check({ name: 'alice', password: 'p' }, '192.0.2.2');
  for (let n = 0; !asked.includes('p') && n < 10; n += 1) {
    await turn();
    answer();
  }
  expect(asked.indexOf('p')).toBeLessThanOrEqual(6);
  for (let n = 0; n < 200; n += 1) {
    await turn();
    answer();
  }
  expect(await right).toEqual({ user: 'alice', groups: [] });
  expect(new Set(await Promise.all(wrong))).toEqual(new Set(['wrong']));
});

test.each([
  [1, 1],
  [2, 1],
  [3, 2],
  [16, 2],
])('with %i cores, %i passwords are hashed at once', async (cores, expected) => {
  const { users, asked, answer } = rig({ current: withHash('hash of p') }, cores);
  const all = Array.from({ length: 6 }, (_, n) => users.check({ name: 'alice', password: `${n}` }, `a${n}`));
  await turn();
  expect(asked.length).toBe(expected);
  for (let n = 0; n < 10; n += 1) {
    await turn();
    answer();
  }
  await Promise.all(all);
});

test('above 64 waiting logins of one address the next is refused', async () => {
  const { users, answer } = rig({ current: withHash('hash of p') });
  const all = Array.from({ length: 67 }, (_, n) => users.check({ name: 'alice', password: `${n}` }, 'here'));
  const last = all.at(-1);
  await expect(last).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  for (let n = 0; n < 100; n += 1) {
    await turn();
    answer();
  }
  await Promise.allSettled(all);
});
