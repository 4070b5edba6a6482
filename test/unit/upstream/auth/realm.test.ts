import { expect, test } from 'vitest';
import { checkRealm } from '../../../../src/upstream/auth/realm.ts';

const hub = { url: new URL('https://registry-1.docker.io'), tokenHosts: [] };
const own = { url: new URL('https://registry.test'), tokenHosts: ['Tokens.test', 'ports.test:8443'] };
const plain = { url: new URL('http://registry.test:5000'), tokenHosts: [] };

test.each([
  ['https://auth.docker.io/token', hub],
  ['https://registry-1.docker.io/token', hub],
  ['https://auth.docker.io/token', { url: new URL('https://docker.io'), tokenHosts: [] }],
  ['https://registry.test/token?a=b', own],
  ['https://registry.test:8443/token', own],
  ['https://tokens.test/token', own],
  ['https://tokens.test:9/token', own],
  ['https://ports.test:8443/token', own],
  ['http://registry.test:5001/token', plain],
  ['https://registry.test/token', plain],
])('%s may be asked', (realm, policy) => {
  expect(checkRealm(realm, policy).href).toBe(realm);
});

test.each([
  ['https://auth.docker.io/token', own],
  ['http://auth.docker.io/token', hub],
  ['https://auth.docker.io:8443/token', hub],
  ['https://auth.docker.io.evil.test/token', hub],
  ['https://evil-docker.io/token', hub],
  ['https://auth.docker.io/token', { url: new URL('https://notdocker.io'), tokenHosts: [] }],
  ['http://registry.test/token', own],
  ['https://evil.test/token', own],
  ['https://registry.test@evil.test/token', own],
  ['https://ports.test/token', own],
  ['file:///etc/passwd', own],
  ['ftp://registry.test/token', plain],
  ['/token', own],
  ['', own],
])('%s must not be asked', (realm, policy) => {
  expect(() => checkRealm(realm, policy)).toThrow(/token realm .*(?:is not asked|is no URL)/);
});

test('userinfo and fragment of a realm are dropped', () => {
  expect(checkRealm('https://a:b@registry.test/token#c', own).href).toBe('https://registry.test/token');
});
