/** Which URL clients are told, and what is refused as one. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findMirrorUrl, type NetworkInterfaces } from '../../../../src/cli/client/mirror-url.ts';
import { describeForClients } from '../../../../src/clients/mirror-description.ts';
import { parseListenAddress } from '../../../../src/config/address.ts';
import { ConfigError } from '../../../../src/config/problem.ts';

function addresses(...texts: string[]): NetworkInterfaces[string] {
  return texts.map(address => ({
    address,
    internal: /^(?:127\.|::1$)/.test(address),
    ...(address.includes(':') ? { family: 'IPv6', scopeid: 0 } : { family: 'IPv4' }),
    netmask: '',
    mac: '',
    cidr: null,
  }));
}

const machine: NetworkInterfaces = {
  lo: addresses('127.0.0.1', '::1'),
  docker0: addresses('172.17.0.1'),
  'br-0123': addresses('172.18.0.1'),
  eth0: addresses('fe80::1', '2001:db8::5', '192.168.7.5'),
};

interface Asked {
  given?: string;
  publicUrl?: string;
  interfaces?: NetworkInterfaces;
}

function find(listen: readonly string[], { given, publicUrl, interfaces = machine }: Asked = {}) {
  const http = {
    listen: listen.map(parseListenAddress),
    names: [],
    trustedProxies: [],
    drainMs: 0,
    maxConnections: 0,
  };
  const { url, isGuess } = findMirrorUrl({
    given,
    http: publicUrl === undefined ? http : { ...http, publicUrl },
    interfaces: () => interfaces,
  });
  return { url: url.origin, isGuess };
}

describe('the URL of the mirror', () => {
  it('is what the user says, before all else', () => {
    const publicUrl = 'https://public.lan';
    expect(find(['10.0.0.1:5000'], { given: 'http://Said.lan:80/', publicUrl })).toEqual({
      url: 'http://said.lan',
      isGuess: false,
    });
    expect(find(['10.0.0.1:5000'], { publicUrl })).toEqual({ url: publicUrl, isGuess: false });
  });

  it.each([
    [['10.0.0.1:5000'], 'http://10.0.0.1:5000', false],
    [['[fd00::1]:5001'], 'http://[fd00::1]:5001', false],
    [['mirror.lan:80'], 'http://mirror.lan', false],
    [['127.0.0.1:5000', '10.0.0.1:5001'], 'http://10.0.0.1:5001', false],
    [[':5000', '10.0.0.1:5001'], 'http://10.0.0.1:5001', false],
    [['127.0.0.1:5000'], 'http://127.0.0.1:5000', false],
    [[':5000'], 'http://192.168.7.5:5000', true],
    [['0.0.0.0:5001'], 'http://192.168.7.5:5001', true],
    [['127.0.0.1:5000', ':5001'], 'http://192.168.7.5:5001', true],
  ])('of one that listens on %s is %s', (listen, url, isGuess) => {
    expect(find(listen)).toEqual({ url, isGuess });
  });

  it('is guessed among addresses that others may reach', () => {
    const eth0 = addresses('fe80::1', '2001:db8::5');
    expect(find([':5000'], { interfaces: { eth0 } }).url).toBe('http://[2001:db8::5]:5000');
    expect(() => find(['0.0.0.0:5000'], { interfaces: { eth0 } })).toThrow(ConfigError);
    expect(() => find([':5000'], { interfaces: { lo: machine['lo'], docker0: machine['docker0'] } })).toThrow(
      ConfigError,
    );
    expect(find([':5000', '127.0.0.1:5001'], { interfaces: {} })).toEqual({
      url: 'http://127.0.0.1:5001',
      isGuess: false,
    });
  });

  it('has to be said when the port is any', () => {
    expect(() => find(['10.0.0.1:0'])).toThrow(/^--url: needed \(http:\/\/NAME:PORT\), because http\.listen/);
  });

  it.each([
    'mirror.lan',
    'mirror.lan:5000',
    'ftp://mirror.lan',
    'http://mirror.lan/path',
    'http://mirror.lan/?q',
    'http://mirror.lan/#f',
    'http://mirror.lan.',
    'http://mir_ror',
    "http://mir'ror",
    'http://',
    '',
  ])('is not %j', given => {
    expect(() => find([':5000'], { given })).toThrow(
      /^--url: expected a URL such as http:\/\/mirror\.lan:5000 .*, got /,
    );
  });

  it('is refused without repeating a password', () => {
    const given = 'http://user:hunter2@mirror.lan';
    expect(() => find([':5000'], { given })).toThrow(expect.not.stringContaining('hunter2'));
    expect(() => find([':5000'], { publicUrl: 'https://proxy.lan/mirror' })).toThrow(/^http\.public_url: /);
  });
});

describe('the host in image names', () => {
  const label = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);
  const host = fc.oneof(
    fc.array(label, { minLength: 1, maxLength: 3 }).map(labels => labels.join('.')),
    fc.ipV4(),
    fc.ipV6().map(address => `[${address}]`),
  );
  const port = fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined });

  it('has a dot or a port, and means the URL that it came from', () => {
    fc.assert(
      fc.property(fc.constantFrom('http', 'https'), host, port, (scheme, name, number) => {
        const url = new URL(`${scheme}://${name}${number === undefined ? '' : `:${number}`}`);
        const mirror = describeForClients({ upstreams: new Map(), defaultUpstream: 'docker.io' }, url);
        expect(new URL(`${scheme}://${mirror.host}`).origin).toBe(mirror.url);
        expect(new URL(mirror.url).href).toBe(url.href);
        expect(mirror.host === 'localhost' || /[.:]/.test(mirror.host)).toBe(true);
        expect(mirror.isPlainHttp).toBe(scheme === 'http');
        expect(mirror.isIpv6).toBe(name.startsWith('['));
      }),
    );
  });
});
