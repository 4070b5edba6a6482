import { BlockList } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatListenAddress,
  parseAddressBlock,
  parseHost,
  parseListenAddress,
  parseRegistryHost,
} from '../../../src/config/address.ts';
import { ValueError } from '../../../src/config/problem.ts';

describe('addresses to listen on', () => {
  it.each([
    ['[::]:5000', '::', 5000],
    [':5000', '::', 5000],
    ['127.0.0.1:0', '127.0.0.1', 0],
    ['[fe80::1]:80', 'fe80::1', 80],
    ['mirror.lan:5000', 'mirror.lan', 5000],
    ['Localhost:5000', 'localhost', 5000],
  ])('reads %j', (text, host, port) => {
    expect(parseListenAddress(text)).toEqual({ host, port });
  });

  it.each([
    '5000',
    5000,
    'mirror.lan',
    '::1:5000',
    '[::1]',
    '[127.0.0.1]:80',
    '[zz]:80',
    ':70000',
    ':-1',
    ':',
    '',
    '256.0.0.1:80',
    '127.0.0.1:80/x',
    'http://a:80',
    'a b:80',
    null,
    {},
  ])('refuses %j', value => {
    expect(() => parseListenAddress(value)).toThrow(ValueError);
  });

  it('reads back what it formats', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    fc.assert(
      fc.property(host, fc.integer({ min: 0, max: 65535 }), (name, port) => {
        const address = { host: name.toLowerCase(), port };
        expect(parseListenAddress(formatListenAddress(address))).toEqual(address);
      }),
    );
  });
});

describe('hosts of upstreams', () => {
  it.each([
    ['ghcr.io', 'ghcr.io'],
    ['GHCR.io', 'ghcr.io'],
    ['localhost', 'localhost'],
    ['localhost:5000', 'localhost:5000'],
    ['registry:5000', 'registry:5000'],
    ['10.0.0.1:5000', '10.0.0.1:5000'],
    ['[::1]:5000', '[::1]:5000'],
    ['a-b.c.example.org', 'a-b.c.example.org'],
  ])('reads %j', (text, host) => {
    expect(parseRegistryHost(text)).toBe(host);
  });

  it.each([
    'ghcr',
    'https://ghcr.io',
    'ghcr.io/x',
    'ghcr.io:0',
    'ghcr.io:70000',
    'ghcr.io:',
    'a_b.io',
    '-a.io',
    'a..io',
    '.io',
    'a.io.',
    '[zz]:80',
    'a b.io',
    '',
    5,
    null,
  ])('refuses %j', value => {
    expect(() => parseRegistryHost(value)).toThrow(ValueError);
  });

  it('takes a name without a dot where no image name is at stake', () => {
    expect(parseHost('Mirror')).toBe('mirror');
  });
});

describe('trusted addresses', () => {
  it.each(['10.0.0.0/8', '192.168.1.1', '::1', 'fd00::/8', '0.0.0.0/0'])(
    'takes %j as BlockList does',
    text => {
      const [address = '', prefix] = parseAddressBlock(text).split('/');
      const family = address.includes(':') ? 'ipv6' : 'ipv4';
      const list = new BlockList();
      if (prefix === undefined) list.addAddress(address, family);
      else list.addSubnet(address, Number(prefix), family);
      expect(list.check(address, family)).toBe(true);
    },
  );

  it.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    'example.org',
    'fe80::1%eth0',
    '10.0.0.0/-1',
    '',
    5,
  ])('refuses %j', value => {
    expect(() => parseAddressBlock(value)).toThrow(ValueError);
  });
});
