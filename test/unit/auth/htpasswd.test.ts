/** Lines of htpasswd, logins against them, and what is remembered of those. */
import { hash } from 'bcrypt';
import { describe, expect, test } from 'vitest';
import { type Htpasswd, parseHtpasswd, Users } from '../../../src/auth/htpasswd.ts';

const tail = `$05$${'a'.repeat(53)}`;

describe('a file', () => {
  test('has names and bcrypt hashes; $2y$ is $2b$', () => {
    const text = `# users\r\n\nalice:$2y${tail}\r\nbob:$2b${tail}\n carol:$2a${tail} \nalice:$2b${tail}`;
    const { hashes, flaws } = parseHtpasswd(text);
    expect([...hashes]).toEqual([
      ['alice', `$2b${tail}`],
      ['bob', `$2b${tail}`],
      ['carol', `$2a${tail}`],
    ]);
    expect(flaws).toEqual([]);
  });

  test('is told about other lines by their number, never by what they say', () => {
    const lines = [
      'a:{SHA}secret',
      'b:$apr1$secret',
      'c:secret',
      'secret',
      `:$2b${tail}`,
      `d:$2b$31$${'a'.repeat(53)}`,
    ];
    const { hashes, flaws } = parseHtpasswd(lines.join('\n'));
    expect(hashes.size).toBe(0);
    expect(flaws.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(JSON.stringify(flaws)).not.toContain('secret');
  });
});

function rig(file: { current: Htpasswd }, clock = { ms: 0 }) {
  const asked: string[] = [];
  const users = new Users({
    load: async () => file.current,
    now: () => clock.ms,
    compare: async (password, stored) => {
      asked.push(`${password} ${stored}`);
      return stored === `hash of ${password}`;
    },
  });
  return { users, asked, clock };
}
const withHash = (text: string): Htpasswd => ({ hashes: new Map([['alice', text]]), flaws: [] });

describe('a login', () => {
  test('is right with the real bcrypt and $2y$', async () => {
    const line = (await hash('pässword', 4)).replace('$2b$', '$2y$');
    const users = new Users({ load: async () => parseHtpasswd(`alice:${line}`), now: () => 0 });
    expect(await users.areRight({ name: 'alice', password: 'pässword' })).toBe(true);
    expect(await users.areRight({ name: 'alice', password: 'password' })).toBe(false);
    expect(await users.areRight({ name: 'bob', password: 'pässword' })).toBe(false);
  });

  test('that was right is computed once a minute, one that was wrong each time', async () => {
    const { users, asked, clock } = rig({ current: withHash('hash of p') });
    const right = { name: 'alice', password: 'p' };
    for (let n = 0; n < 3; n += 1) expect(await users.areRight(right)).toBe(true);
    expect(asked.length).toBe(1);
    clock.ms += 60_000;
    expect(await users.areRight(right)).toBe(true);
    expect(asked.length).toBe(2);
    for (let n = 0; n < 2; n += 1) expect(await users.areRight({ name: 'alice', password: 'x' })).toBe(false);
    expect(asked.length).toBe(4);
  });

  test('is wrong at once when the file has another hash, or the name no more', async () => {
    const file = { current: withHash('hash of p') };
    const { users } = rig(file);
    expect(await users.areRight({ name: 'alice', password: 'p' })).toBe(true);
    file.current = withHash('hash of q');
    expect(await users.areRight({ name: 'alice', password: 'p' })).toBe(false);
    file.current = { hashes: new Map(), flaws: [] };
    expect(await users.areRight({ name: 'alice', password: 'q' })).toBe(false);
  });

  test('of a name that does not exist is computed as well, and never right', async () => {
    const { users, asked } = rig({ current: withHash('hash of p') });
    expect(await users.areRight({ name: 'bob', password: 'p' })).toBe(false);
    expect(asked).toEqual(['p hash of p']);
  });

  test('that twenty wait for is computed once', async () => {
    const { users, asked } = rig({ current: withHash('hash of p') });
    const all = await Promise.all(
      Array.from({ length: 20 }, () => users.areRight({ name: 'alice', password: 'p' })),
    );
    expect(all.every(Boolean)).toBe(true);
    expect(asked.length).toBe(1);
  });
});

test('beside 80 wrong logins of one address, another address waits for one hash, not for eighty', async () => {
  const asked: string[] = [];
  const waiting: (() => void)[] = [];
  const users = new Users({
    load: async () => withHash('hash of p'),
    now: () => 0,
    compare: (password, stored) => {
      asked.push(password);
      return new Promise(resolve => waiting.push(() => resolve(stored === `hash of ${password}`)));
    },
  });
  const wrong = Array.from({ length: 60 }, (_, n) =>
    users.areRight({ name: 'alice', password: `wrong ${n}` }, '192.0.2.1'),
  );
  await expect.poll(() => asked.length).toBe(2);
  const right = users.areRight({ name: 'alice', password: 'p' }, '192.0.2.2');
  await Promise.resolve();
  for (let n = 0; asked.at(-1) !== 'p' && n < 10; n += 1) {
    waiting[n]?.();
    await new Promise(resolve => setImmediate(resolve));
  }
  expect(asked.length).toBeLessThanOrEqual(5);
  for (const answer of waiting) answer();
  expect(await right).toBe(true);
  for (let n = 0; n < 70; n += 1) {
    for (const answer of waiting) answer();
    await new Promise(resolve => setImmediate(resolve));
  }
  expect((await Promise.all(wrong)).some(Boolean)).toBe(false);
});
