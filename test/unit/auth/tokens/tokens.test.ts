/** Tokens: scopes in every spelling, signatures, keys that change, expiry. */
import { describe, expect, test } from 'vitest';
import { doesInclude, formatScope, parseScopes } from '../../../../src/auth/tokens/scope.ts';
import { readToken, signToken } from '../../../../src/auth/tokens/signed-token.ts';
import { DerivedTokenKeys, StoredTokenKeys } from '../../../../src/auth/tokens/token-keys.ts';
import { Tokens } from '../../../../src/auth/tokens/tokens.ts';

const day = 86_400_000;

describe('scopes', () => {
  test('come several in a text, in several texts, with ports and classes; others grant nothing', () => {
    const scopes = parseScopes([
      'repository:registry.lan:5000/team/app:pull,push repository(plugin):a/b:pull',
      'registry:catalog:*',
      'repository:x: nonsense repository:y artifact:z:pull',
    ]);
    expect(scopes.map(formatScope)).toEqual([
      'repository:registry.lan:5000/team/app:pull,push',
      'repository:a/b:pull',
      'registry:catalog:*',
    ]);
  });

  test('are bounded, because a token goes into a header', () => {
    const many = Array.from({ length: 100 }, (_, n) => `repository:team/app${n}:pull`);
    expect(parseScopes(many).length).toBe(24);
    expect(parseScopes(Array.from({ length: 20 }, () => `repository:${'x'.repeat(1000)}:pull`)).length).toBe(
      4,
    );
  });

  test('include what each of their actions allows', () => {
    const scopes = parseScopes(['repository:a:pull repository:a:push', 'repository:b:*']);
    const wanted = (name: string, ...actions: string[]) => ({ type: 'repository', name, actions }) as const;
    expect(doesInclude(scopes, wanted('a', 'pull', 'push'))).toBe(true);
    expect(doesInclude(scopes, wanted('a', 'delete'))).toBe(false);
    expect(doesInclude(scopes, wanted('b', 'delete'))).toBe(true);
    expect(doesInclude(scopes, { type: 'registry', name: 'a', actions: ['pull'] })).toBe(false);
  });
});

const claims = {
  user: 'alice',
  groups: ['dev'],
  scopes: parseScopes(['repository:a:pull']),
  issuedAt: 1,
  expiresAt: 2,
};
const key = { id: 'k', secret: Buffer.alloc(32, 1) };

test('a token says what was signed, and nothing after any change, with another key or algorithm', () => {
  const token = signToken(claims, key);
  expect(readToken(token, [key])).toEqual(claims);
  const [header = '', payload = '', signature = ''] = token.split('.');
  const none = Buffer.from('{"alg":"none","kid":"k"}').toString('base64url');
  const other = Buffer.from(JSON.stringify({ iss: 'cistern', sub: 'root', access: [], iat: 1, exp: 9e9 }));
  for (const forged of [
    `${none}.${payload}.`,
    `${none}.${payload}.${signature}`,
    `${header}.${other.toString('base64url')}.${signature}`,
    `${header}.${payload}.`,
    `${header}.${payload}`,
    `${token}.x`,
    `${header}.${payload}.${signature.slice(0, -1)}`,
    '',
    '..',
    'x',
  ])
    expect(readToken(forged, [key]), forged).toBeUndefined();
  expect(readToken(token, [{ id: 'k', secret: Buffer.alloc(32, 2) }])).toBeUndefined();
  expect(readToken(token, [{ ...key, id: 'other' }])).toBeUndefined();
});

function memoryFile(kept: { text?: string } = {}) {
  return {
    kept,
    writes: 0,
    async read() {
      return kept.text;
    },
    async write(text: string) {
      this.writes += 1;
      kept.text = text;
    },
  };
}

describe('stored keys', () => {
  const fail = (error: unknown) => {
    throw error;
  };

  test('survive a restart, and many that ask at once make one', async () => {
    const file = memoryFile();
    const now = () => 5;
    const keys = new StoredTokenKeys({ file, onTrouble: fail, now });
    const [one] = await Promise.all(Array.from({ length: 10 }, () => keys.current()));
    expect(file.writes).toBe(1);
    expect(await new StoredTokenKeys({ file, onTrouble: fail, now }).current()).toEqual(
      one?.map(({ id, secret }) => ({ id, secret, madeAtMs: 5 })),
    );
  });

  test('are two after thirty days, the older good for one day more', async () => {
    const clock = { ms: 0 };
    const keys = new StoredTokenKeys({ file: memoryFile(), onTrouble: fail, now: () => clock.ms });
    const tokens = new Tokens({ keys, ttlMs: day, now: () => clock.ms });
    const [first] = await keys.current();
    clock.ms = 30 * day - 1;
    const { token } = await tokens.issue({ user: 'alice', groups: [] }, []);
    clock.ms += 1;
    const both = await keys.current();
    expect([both.length, both[1]?.id]).toEqual([2, first?.id]);
    expect(await new Tokens({ keys, ttlMs: day, now: () => clock.ms }).verify(token)).toMatchObject({
      user: 'alice',
      isExpired: false,
    });
    clock.ms += day;
    expect((await keys.current()).map(({ id }) => id)).toEqual([both[0]?.id]);
    expect(await tokens.verify(token)).toBeUndefined();
  });

  test.each(['', '{', '{"keys":1}', '{"keys":[null,{"id":"a","secret":"AA","madeAtMs":1}]}'])(
    'of a damaged file are made anew: %s',
    async text => {
      const file = memoryFile({ text });
      expect((await new StoredTokenKeys({ file, onTrouble: fail, now: () => 5 }).current()).length).toBe(1);
      expect(file.writes).toBe(1);
    },
  );

  test('of a disk that fails live in memory', async () => {
    const errors: unknown[] = [];
    const broken = () => Promise.reject(new Error('EIO'));
    const file = { read: broken, write: broken };
    const keys = new StoredTokenKeys({ file, onTrouble: error => errors.push(error), now: () => 5 });
    const [one] = await keys.current();
    expect([await keys.current(), errors.length]).toEqual([[one], 2]);
  });
});

test('nodes with one secret read each others tokens, also around midnight and with clocks apart; others do not', async () => {
  const at = (secret: string, ms: number) => new DerivedTokenKeys({ secret, now: () => ms });
  const issue = async (keys: DerivedTokenKeys, ms: number) =>
    (await new Tokens({ keys, ttlMs: day, now: () => ms }).issue(undefined, [])).token;
  const verify = (keys: DerivedTokenKeys, token: string, ms: number) =>
    new Tokens({ keys, ttlMs: day, now: () => ms }).verify(token);
  const token = await issue(at('s', 10 * day - 1), 10 * day - 1);
  for (const ms of [10 * day - 1, 10 * day + 1000, 9 * day - 1, 10.9 * day])
    expect(await verify(at('s', ms), token, ms), String(ms)).toBeDefined();
  expect(await verify(at('t', 10 * day), token, 10 * day)).toBeUndefined();
  expect(await verify(at('s', 12 * day), token, 12 * day)).toBeUndefined();
});

test('a token is remembered until it expires, then read as expired', async () => {
  const clock = { ms: 1_000_000 };
  let asked = 0;
  const keys = {
    current: async () => {
      asked += 1;
      return [key];
    },
  };
  const tokens = new Tokens({ keys, ttlMs: 60_000, now: () => clock.ms });
  const issued = await tokens.issue({ user: 'alice', groups: ['dev'] }, claims.scopes);
  expect([issued.expiresInSeconds, issued.issuedAtMs]).toEqual([60, 1_000_000]);
  expect(tokens.known(issued.token)).toBeUndefined();
  const expected = { user: 'alice', groups: ['dev'], scopes: claims.scopes, isExpired: false };
  expect(await tokens.verify(issued.token)).toEqual(expected);
  expect(await tokens.verify(issued.token)).toEqual(expected);
  expect(tokens.known(issued.token)).toEqual(expected);
  expect(asked).toBe(2);
  clock.ms += 60_000;
  expect(tokens.known(issued.token)).toBeUndefined();
  expect(await tokens.verify(issued.token)).toEqual({ ...expected, isExpired: true });
});
