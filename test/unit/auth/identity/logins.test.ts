/** Logins over providers: what is remembered, what is throttled, what is reported. */
import { expect, test } from 'vitest';
import type { IdentityCheck, IdentityProvider } from '../../../../src/auth/identity/identity-provider.ts';
import { type LoginEvent, Logins } from '../../../../src/auth/identity/logins.ts';
import { WrongCredentials } from '../../../../src/auth/refusals.ts';

interface Rig {
  readonly logins: Logins;
  /** Checks and pretended checks, in their order. */
  readonly asked: string[];
  readonly events: string[];
  readonly clock: { ms: number };
  readonly file: { version: string };
}

function rig(others: readonly IdentityProvider[] = []): Rig {
  const asked: string[] = [];
  const events: string[] = [];
  const clock = { ms: 1_000_000 };
  const file = { version: '1' };
  const known = new Set(['alice', 'carol']);
  const first: IdentityProvider = {
    source: 'htpasswd',
    check: async ({ name, password }): Promise<IdentityCheck> => {
      if (!known.has(name)) return undefined;
      asked.push(`${name} ${password}`);
      return password === 'right' ? { user: name, groups: [] } : 'wrong';
    },
    pretend: async password => {
      asked.push(`pretended ${password}`);
    },
    versionOf: async () => file.version,
  };
  const logins = new Logins({
    providers: [first, ...others],
    onLogin: ({ source, result, user, isNews }: LoginEvent) =>
      events.push(`${source} ${result} ${user}${isNews ? '' : ' quietly'}`),
    now: () => clock.ms,
    throttledMs: 0,
  });
  return { logins, asked, events, clock, file };
}
const alice = (password: string) => ({ name: 'alice', password });

test('a right login is remembered for five minutes, one that twenty wait for is checked once', async () => {
  const { logins, asked, events, clock } = rig();
  await Promise.all(Array.from({ length: 20 }, () => logins.check(alice('right'), 'a')));
  expect(await logins.check(alice('right'), 'b')).toEqual({ user: 'alice', groups: [] });
  clock.ms += 299_999;
  await logins.check(alice('right'), 'a');
  expect([asked.length, events]).toEqual([1, ['htpasswd right alice quietly']]);
  clock.ms += 1;
  await logins.check(alice('right'), 'a');
  expect(asked.length).toBe(2);
});

test('another password in the file, or none, ends what is remembered', async () => {
  const { logins, asked, file } = rig();
  await logins.check(alice('right'), 'a');
  file.version = '2';
  await logins.check(alice('right'), 'a');
  expect(asked).toEqual(['alice right', 'alice right']);
});

test('five wrong logins are checked, then one in ten seconds; a 401 says when, and nothing is hashed meanwhile', async () => {
  const { logins, asked, events, clock } = rig();
  const wrong = (address = 'a') => logins.check(alice('wrong'), address).catch((error: unknown) => error);
  for (let n = 0; n < 5; n += 1) expect(await wrong()).toBeInstanceOf(WrongCredentials);
  expect([asked.length, events.length]).toEqual([5, 5]);
  for (let n = 0; n < 20; n += 1)
    expect(await wrong()).toMatchObject({
      status: 401,
      message: 'too many failed logins of this name from this address, try again in 10 s',
    });
  expect(asked.length).toBe(5);
  expect(events.slice(4, 7)).toEqual([
    'htpasswd wrong alice',
    'none throttled undefined',
    'none throttled undefined quietly',
  ]);
  clock.ms += 10_000;
  await wrong();
  await wrong();
  expect(asked.length).toBe(6);
  await wrong('b');
  await logins.check({ name: 'carol', password: 'wrong' }, 'a').catch(() => undefined);
  expect(asked.length).toBe(8);
});

test('a pair that is remembered as right skips the bucket, and right logins cost nothing of it', async () => {
  const { logins, asked } = rig();
  await logins.check(alice('right'), 'a');
  for (let n = 0; n < 9; n += 1) await logins.check(alice(`wrong ${n}`), 'a').catch(() => undefined);
  expect(asked.length).toBe(6);
  expect(await logins.check(alice('right'), 'a')).toBeDefined();
});

test('thirty wrong logins at once are checked five times', async () => {
  const { logins, asked } = rig();
  await Promise.allSettled(Array.from({ length: 30 }, (_, n) => logins.check(alice(`wrong ${n}`), 'a')));
  expect(asked.length).toBe(5);
});

test('an unknown name costs a hash too, and is reported without the name', async () => {
  const { logins, asked, events } = rig();
  await expect(logins.check({ name: 'my-password', password: 'x' }, 'a')).rejects.toThrow(WrongCredentials);
  expect([asked, events]).toEqual([['pretended x'], ['none wrong undefined']]);
});

test('an empty password is wrong without asking any provider', async () => {
  const { logins, asked } = rig();
  await expect(logins.check(alice(''), 'a')).rejects.toThrow(WrongCredentials);
  expect(asked).toEqual(['pretended ']);
});

test('where anonymous rights do, credentials of another registry are ignored: one hash, no event, no refusal', async () => {
  const { logins, asked, events } = rig();
  const hub = { name: 'hubuser', password: 'hub-password' };
  for (let n = 0; n < 10; n += 1) expect(await logins.check(hub, 'a', { isLenient: true })).toBeUndefined();
  expect([asked, events]).toEqual([['pretended hub-password'], []]);
  for (let n = 0; n < 10; n += 1)
    expect(await logins.check(alice(`wrong ${n}`), 'a', { isLenient: true })).toBeUndefined();
  expect([asked.length, events]).toEqual([6, Array.from({ length: 5 }, () => 'htpasswd wrong alice')]);
  expect(await logins.check({ name: 'carol', password: 'right' }, 'a', { isLenient: true })).toBeDefined();
});

test('providers are asked in order; one that cannot say is 503, and costs no token', async () => {
  let answer: IdentityCheck = 'unavailable';
  const ldap: IdentityProvider = {
    source: 'ldap',
    check: async () => answer,
    versionOf: async () => '',
  };
  const { logins, events } = rig([ldap]);
  const dave = { name: 'dave', password: 'right' };
  for (let n = 0; n < 7; n += 1)
    await expect(logins.check(dave, 'a')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(events[0]).toBe('ldap unavailable undefined');
  answer = { user: 'dave', groups: ['dev'] };
  expect(await logins.check(dave, 'a')).toEqual({ user: 'dave', groups: ['dev'] });
  expect(await logins.check(alice('right'), 'a')).toEqual({ user: 'alice', groups: [] });
});

test('a wrong password of a user of the directory costs the hash that an unknown name costs', async () => {
  const ldap: IdentityProvider = {
    source: 'ldap',
    check: async ({ name }) => (name === 'dave' ? 'wrong' : undefined),
    versionOf: async () => '',
  };
  const { logins, asked } = rig([ldap]);
  for (const name of ['dave', 'unknown', 'alice'])
    await logins.check({ name, password: 'x' }, 'a').catch(() => undefined);
  expect(asked).toEqual(['pretended x', 'pretended x', 'alice x']);
});

test('all spellings that a directory takes for one name share a bucket', async () => {
  const spellings = ['dave', 'DAVE', 'Dave ', ' dave', 'da\u00advé', 'ｄａｖｅ', 'd\u200bave', 'dA\u0000ve'];
  const tried: string[] = [];
  const ldap: IdentityProvider = {
    source: 'ldap',
    check: async ({ name }) => {
      tried.push(name);
      return 'wrong';
    },
    versionOf: async () => '',
  };
  const { logins } = rig([ldap]);
  for (const name of spellings) await logins.check({ name, password: 'x' }, 'a').catch(() => undefined);
  expect(tried).toEqual(spellings.slice(0, 5));
});
