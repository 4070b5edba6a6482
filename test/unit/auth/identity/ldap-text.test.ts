/** Values inside filters and names of entries. */
import fc from 'fast-check';
import { EqualityFilter, FilterParser } from 'ldapts';
import { describe, expect, it } from 'vitest';
import { groupFilter } from '../../../../src/auth/identity/ldap-lookup.ts';
import {
  attributeOfUser,
  escapeDnValue,
  escapeFilterValue,
  fillTemplate,
  isWithin,
  normalizeName,
  parseDn,
} from '../../../../src/auth/identity/ldap-text.ts';

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1 }),
  fc.string({ unit: fc.constantFrom(...'*()\\\0:=,+"<>;# {}adn|&!'), minLength: 1 }),
);

describe('a value in a filter (RFC 4515)', () => {
  it('stays one value, whatever it holds', () => {
    fc.assert(
      fc.property(anyText, value => {
        const filter = fillTemplate('(uid={user})', { user: value }, escapeFilterValue);
        expect(filter.slice(5, -1)).not.toMatch(/[*()\0]/);
        const parsed = FilterParser.parseString(filter);
        expect(parsed).toBeInstanceOf(EqualityFilter);
        expect(parsed).toMatchObject({ attribute: 'uid', value });
      }),
    );
  });

  it('is not a template itself', () => {
    const values = { user: '{dn}', dn: '{user}' };
    expect(fillTemplate('(a={user})(b={dn})(c={other})', values, escapeFilterValue)).toBe(
      '(a={dn})(b={user})(c={other})',
    );
  });

  it('of a group stays one value beside a matching rule', () => {
    const filter = groupFilter('(member:1.2.840.113556.1.4.1941:={dn})', ['a)(b', 'ö'], {
      dn: 'uid=x:=\\2c*,dc=lan',
      user: 'x',
    });
    expect(filter).toBe(
      '(&(member:1.2.840.113556.1.4.1941:=uid=x\\3a=\\5c2c\\2a,dc=lan)(|(cn=a\\29\\28b)(cn=ö)))',
    );
    expect(FilterParser.parseString(filter)).toMatchObject({
      filters: [
        { rule: '1.2.840.113556.1.4.1941', value: 'uid=x:=\\2c*,dc=lan' },
        { filters: [{ value: 'a)(b' }, { value: 'ö' }] },
      ],
    });
  });
});

describe('a value in the name of an entry (RFC 4514)', () => {
  it('stays one value, whatever it holds', () => {
    fc.assert(
      fc.property(anyText, value => {
        const dn = fillTemplate('uid={user},ou=people,dc=lan', { user: value }, escapeDnValue);
        expect(parseDn(dn)).toEqual([
          ['uid', normalizeName(value)],
          ['ou', 'people'],
          ['dc', 'lan'],
        ]);
      }),
    );
  });

  it.each([
    ['admin,dc=lan', 'admin\\2cdc\\3dlan'],
    [' x ', '\\20x\\20'],
    ['#1+"<>;\\', '\\231\\2b\\22\\3c\\3e\\3b\\5c'],
    ['\0', '\\00'],
    ['jörg', 'jörg'],
  ])('%j is written %s', (value, written) => expect(escapeDnValue(value)).toBe(written));

  it('tells what is below what, escapes and case aside', () => {
    const base = 'OU=Groups, dc=lan';
    expect(isWithin('cn=a\\2Cb,ou=groups,DC=lan', base)).toBe(true);
    expect(isWithin('ou=groups,dc=lan', base)).toBe(true);
    expect(isWithin('cn=a\\,ou=groups,dc=lan', base)).toBe(false);
    expect(isWithin('cn=ou=groups\\,dc=lan,dc=lan', base)).toBe(false);
    expect(isWithin('dc=lan', base)).toBe(false);
    expect(parseDn('cn=J\\C3\\B6rg  X,dc=lan')[0]).toEqual(['cn', 'jörg x']);
  });
});

it.each([
  ['(uid={user})', 'uid'],
  ['(&(objectClass=person)(|(sAMAccountName={user})(mail={user})))', 'sAMAccountName'],
  ['uid={user},ou=people', 'uid'],
  ['(uid:caseExactMatch:={user})', undefined],
])('of %s the name of the user is %s', (template, attribute) =>
  expect(attributeOfUser(template)).toBe(attribute),
);
