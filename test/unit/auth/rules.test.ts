/** Who may what: the first rule that is about it decides. */
import { describe, expect, test } from 'vitest';
import { type Asking, type Rule, Rules } from '../../../src/auth/rules.ts';

const name = 'docker.io/team/app';
function rule(users: readonly string[], more: Partial<Rule> = {}): Rule {
  return { matches: () => true, users, from: [], actions: ['pull'], ...more };
}

function may(rules: readonly Rule[] | undefined, asking: Partial<Asking> = {}): [boolean, boolean] {
  const all = new Rules(rules);
  const rest = {
    user: undefined,
    address: '10.1.2.3',
    canonicalName: name,
    action: 'pull',
    ...asking,
  } as const;
  return [all.allow({ ...rest, visibility: 'public' }), all.allow({ ...rest, visibility: 'private' })];
}

test('without rules every caller pulls what is public, and nothing else', () => {
  expect(may(undefined)).toEqual([true, false]);
  expect(may(undefined, { user: 'alice' })).toEqual([true, false]);
  expect(may(undefined, { action: 'push' })).toEqual([false, false]);
});

describe('without rules, what is hosted', () => {
  const of = (hasUsers: boolean, user: string | undefined, canonicalName = 'team/app') => {
    const rules = new Rules(undefined, { hasUsers });
    return (['pull', 'push', 'delete', 'admin'] as const).map(action =>
      rules.allow({ user, address: '10.1.2.3', canonicalName, action, visibility: 'public' }),
    );
  };

  test('is pulled and pushed by every caller where there are no users', () => {
    expect(of(false, undefined)).toEqual([true, true, false, false]);
    expect(of(false, undefined, 'single')).toEqual([true, true, false, false]);
  });

  test('is pulled and pushed by those who are logged in where there are', () => {
    expect(of(true, undefined)).toEqual([false, false, false, false]);
    expect(of(true, 'alice')).toEqual([true, true, false, false]);
  });

  test('is not what begins with a host', () => {
    for (const name of ['docker.io/team/app', 'localhost/x', 'registry:5000/x'])
      expect(of(true, 'alice', name)).toEqual([true, false, false, false]);
  });
});

test('rules for anonymous open pushes and deletes of what is hosted', () => {
  const rules = [rule(['anonymous'], { matches: text => text === 'team/app', actions: ['push', 'delete'] })];
  for (const action of ['push', 'delete'] as const)
    expect(may(rules, { canonicalName: 'team/app', action })).toEqual([true, true]);
  expect(may(rules, { canonicalName: 'team/app' })[0]).toBe(false);
});

test('what no rule is about is denied', () => {
  expect(may([])).toEqual([false, false]);
  expect(may([rule(['anonymous'], { matches: text => text !== name })], { user: 'alice' })).toEqual([
    false,
    false,
  ]);
});

test.each([
  ['anonymous', undefined, [true, false]],
  ['anonymous', 'alice', [true, false]],
  ['*', undefined, [false, false]],
  ['*', 'alice', [true, true]],
  ['alice', undefined, [false, false]],
  ['alice', 'alice', [true, true]],
  ['alice', 'Alice', [false, false]],
  ['alice', 'bob', [false, false]],
] as const)('users %s, asked by %s: public and private %j', (users, user, expected) => {
  expect(may([rule([users])], { user })).toEqual(expected);
});

test('the names anonymous and * give a user no other rights', () => {
  expect(may([rule(['anonymous'])], { user: 'anonymous' })).toEqual([true, false]);
  expect(may([rule(['alice'])], { user: '*' })).toEqual([false, false]);
});

test('a user who is called @admins is no member of that group', () => {
  expect(may([rule(['@admins'])], { user: '@admins' })).toEqual([false, false]);
  expect(may([rule(['@admins'])], { user: 'alice', groups: ['admins'] })).toEqual([true, true]);
});

describe('the first match', () => {
  test('wins, also when it forbids', () => {
    expect(may([rule(['alice'], { actions: [] }), rule(['*'])], { user: 'alice' })).toEqual([false, false]);
    expect(may([rule(['anonymous'], { actions: [] }), rule(['alice'])], { user: 'alice' })).toEqual([
      false,
      false,
    ]);
    expect(may([rule(['alice'], { actions: ['push'] }), rule(['*'])], { user: 'alice' })).toEqual([
      false,
      false,
    ]);
  });

  test('is passed over for private content when it is about anonymous alone', () => {
    expect(may([rule(['anonymous']), rule(['alice'])], { user: 'alice' })).toEqual([true, true]);
    expect(may([rule(['anonymous']), rule(['alice'])], { user: 'bob' })).toEqual([true, false]);
  });
});

test.each([
  ['10.0.0.0/8', '10.1.2.3', true],
  ['10.0.0.0/8', '11.1.2.3', false],
  ['10.1.2.3', '10.1.2.3', true],
  ['fd00::/8', 'fd00::1', true],
  ['fd00::/8', '10.1.2.3', false],
  ['10.0.0.0/8', undefined, false],
])('from %s, asked from %s: %j', (block, address, expected) => {
  expect(may([rule(['alice'], { from: [block] })], { user: 'alice', address })).toEqual([expected, expected]);
});

test('the documented example: one repository for alice, the rest for everyone; without the denying rule others get it', () => {
  const big = { matches: (text: string) => text === name };
  const [forAlice, denies, rest] = [
    rule(['alice'], big),
    rule(['anonymous'], { ...big, actions: [] }),
    rule(['anonymous']),
  ];
  const pulls = (rules: readonly Rule[], user: string | undefined, canonicalName = name) =>
    may(rules, { user, canonicalName })[0];
  const rules = [forAlice, denies, rest];
  expect([pulls(rules, 'alice'), pulls(rules, 'bob'), pulls(rules, undefined)]).toEqual([true, false, false]);
  expect(pulls(rules, 'bob', 'docker.io/library/alpine')).toBe(true);
  expect(pulls([forAlice, rest], 'bob')).toBe(true);
});
