/** Who sends a request, and the rights that the rules give: of Basic credentials and of callers. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Access } from '../../../src/auth/access.ts';
import { parseBasic } from '../../../src/auth/identity/credentials.ts';
import { WrongCredentials } from '../../../src/auth/refusals.ts';
import { Rules } from '../../../src/auth/rules.ts';
import { titled } from '../../support/titles.ts';
import { testUsers } from '../../support/users.ts';

describe('Basic', () => {
  const encode = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

  test('any name without a colon and any password come back', () => {
    const name = fc.string({ minLength: 1, maxLength: 50 }).filter(text => !/[:\0]/.test(text));
    const password = fc.string({ unit: 'grapheme', maxLength: 20 }).filter(text => !text.includes('\0'));
    fc.assert(
      fc.property(name, password, (one, other) => {
        expect(parseBasic(encode(`${one}:${other}`))).toEqual({ name: one, password: other });
      }),
    );
  });

  test.each(
    titled([
      [undefined, undefined],
      ['', undefined],
      ['Bearer abc', undefined],
      ['Basically abc', undefined],
      ['Basic', 'malformed'],
      ['Basic ', 'malformed'],
      ['basic !!', 'malformed'],
      [encode('nocolon'), 'malformed'],
      [encode(':p'), 'malformed'],
      [encode('a:\0'), 'malformed'],
      [encode(`a:${'x'.repeat(5000)}`), 'malformed'],
    ]),
  )('%s', (_title, [header, expected]) => {
    expect(parseBasic(header)).toBe(expected);
  });
});

test('without users credentials are ignored', async () => {
  const access = new Access({ users: undefined, rules: new Rules(undefined) });
  const { caller } = await access.authenticate(`Basic ${Buffer.from('a:b').toString('base64')}`, '10.0.0.1');
  expect([caller.mayPull('a.io/x', 'public'), caller.mayPull('a.io/x', 'private')]).toEqual([true, false]);
});

describe('a caller', () => {
  const access = new Access({
    users: testUsers(),
    rules: new Rules([
      { matches: name => name === 'team/app', users: ['alice'], from: [], actions: ['pull', 'push'] },
      { matches: name => name === 'team/app', users: ['root'], from: [], actions: ['delete', 'admin'] },
      { matches: name => name === 'open/app', users: ['anonymous'], from: [], actions: ['pull', 'push'] },
      { matches: () => true, users: ['*'], from: ['10.0.0.0/8'], actions: ['pull'] },
    ]),
  });
  const login = (user: string, password = `${user}'s`) =>
    `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  /** Pull of public, pull of private, push, delete, admin. */
  const rights = async (user: string | undefined, name: string, address = '10.1.1.1') => {
    const { caller } = await access.authenticate(user && login(user), address);
    expect(caller.user).toBe(user);
    return [
      caller.mayPull(name, 'public'),
      caller.mayPull(name, 'private'),
      caller.mayPush(name),
      caller.mayDelete(name),
      caller.mayAdminister(name),
    ];
  };

  test('has the rights of the first rule about its name, the repository and its address', async () => {
    expect(await rights('alice', 'team/app')).toEqual([true, true, true, false, false]);
    expect(await rights('root', 'team/app')).toEqual([false, false, false, true, true]);
    expect(await rights('bob', 'team/app')).toEqual([true, true, false, false, false]);
    expect(await rights('bob', 'team/app', '11.1.1.1')).toEqual([false, false, false, false, false]);
    expect(await rights(undefined, 'team/app')).toEqual([false, false, false, false, false]);
    expect(await rights(undefined, 'open/app')).toEqual([true, true, true, false, false]);
  });

  test('without credentials is the one that `anonymous` gives', async () => {
    const { caller } = access.anonymous('10.1.1.1');
    expect([caller.user, caller.mayPush('open/app'), caller.mayPush('team/app')]).toEqual([
      undefined,
      true,
      false,
    ]);
  });

  test('with wrong or malformed credentials is refused, and only a right login is one', async () => {
    for (const header of [login('alice', 'x'), 'Basic !!']) {
      await expect(access.authenticate(header, '10.1.1.1')).rejects.toThrow(WrongCredentials);
      await expect(access.isLoggedIn(header, undefined)).rejects.toThrow(WrongCredentials);
    }
    expect(await access.isLoggedIn(login('alice'), undefined)).toBe(true);
    expect(await access.isLoggedIn(undefined, undefined)).toBe(false);
  });
});
