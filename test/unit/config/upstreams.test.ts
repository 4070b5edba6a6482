import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { UpstreamConfig } from '../../../src/config/config.ts';
import { CertificateAuthority } from '../../support/certificates.ts';
import { ConfigFolder } from './config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

/** What is in the only upstream of `text`. */
async function loadOne(text: string): Promise<UpstreamConfig | undefined> {
  const { config } = await folder.load(text);
  expect(config.upstreams.size).toBe(1);
  return config.upstreams.values().next().value;
}

describe('the configured upstreams', () => {
  it('are exactly those of the section, in its order', async () => {
    const { config } = await folder.load('upstreams:\n  quay.io:\n  docker.io:\n  "LOCALHOST:5000":\n');
    expect([...config.upstreams].map(([key, { url }]) => [key, url.href])).toEqual([
      ['quay.io', 'https://quay.io/'],
      ['docker.io', 'https://registry-1.docker.io/'],
      ['localhost:5000', 'https://localhost:5000/'],
    ]);
  });

  it.each(['index.docker.io', 'registry-1.docker.io', 'Docker.IO'])('know %s as docker.io', async host => {
    expect(await loadOne(`upstreams: { ${host}: }`)).toMatchObject({
      key: 'docker.io',
      url: new URL('https://registry-1.docker.io'),
    });
  });

  it('take their settings', async () => {
    const upstream = await loadOne(`
upstreams:
  r.lan:
    url: http://10.0.0.1:5000/prefix
    share: all
    insecure: true
    ip: "4"
    token_hosts: [Auth.r.lan]
    aliases: [Other.lan, r.lan]
    allow: ["library/**"]
    deny: ["*/secret-*"]
    finish: never
    max_transfers: 3
    timeouts: { connect: 1s, first_byte: 2s, stall: 3s, give_up: 4s, min_rate: 5B }
`);
    expect(upstream).toEqual({
      key: 'r.lan',
      url: new URL('http://10.0.0.1:5000/prefix'),
      fallbacks: [],
      credentials: [],
      share: 'all',
      insecure: true,
      ip: 4,
      tokenHosts: ['auth.r.lan'],
      aliases: ['other.lan'],
      allow: ['library/**'],
      deny: ['*/secret-*'],
      finish: 'never',
      maxTransfers: 3,
      timeouts: { connectMs: 1000, firstByteMs: 2000, stallMs: 3000, giveUpMs: 4000, minRate: 5 },
    });
  });

  it('are at least one', async () => {
    expect(await folder.problems('upstreams: {}')).toEqual([
      'mirror.yml:1:12: upstreams: needs at least one upstream, or hosted.repositories',
    ]);
  });

  it('belong to one host each, aliases included', async () => {
    const text =
      'upstreams:\n  docker.io:\n  index.docker.io:\n  a.io: { aliases: [docker.io, x.io] }\n  b.io: { aliases: [X.io, a.io] }\n';
    expect(await folder.problems(text)).toEqual([
      'mirror.yml:3:3: upstreams.index.docker.io: the same upstream as docker.io; write it once',
      'mirror.yml:4:21: upstreams.a.io.aliases[0]: docker.io already means the upstream docker.io; an alias belongs to one upstream',
      'mirror.yml:5:21: upstreams.b.io.aliases[0]: x.io already means the upstream a.io; an alias belongs to one upstream',
      'mirror.yml:5:27: upstreams.b.io.aliases[1]: a.io already means the upstream a.io; an alias belongs to one upstream',
    ]);
  });

  it('have no name that is this mirror itself', async () => {
    const text =
      'http: { names: [mirror.lan, index.docker.io], public_url: "https://x.io/" }\nupstreams: { docker.io: { aliases: [x.io] } }\n';
    expect(await folder.problems(text)).toEqual([
      'mirror.yml:1:29: http.names[1]: docker.io means the upstream docker.io, so it cannot be a name of this mirror',
      'mirror.yml:1:59: http.public_url: x.io means the upstream docker.io, so it cannot be a name of this mirror',
    ]);
  });
});

describe('the default upstream', () => {
  it('is docker.io wherever it stands', async () => {
    const { config, warnings } = await folder.load('upstreams: { quay.io: , docker.io: }');
    expect([config.defaultUpstream, warnings]).toEqual(['docker.io', []]);
  });

  it('is the only one when there is but one', async () => {
    const { config, warnings } = await folder.load('upstreams: { quay.io: }');
    expect([config.defaultUpstream, warnings]).toEqual(['quay.io', []]);
  });

  it('is the first without docker.io, with a warning that says so', async () => {
    const { config, warnings } = await folder.load('upstreams: { quay.io: , ghcr.io: }');
    expect(config.defaultUpstream).toBe('quay.io');
    expect(warnings).toEqual([
      'mirror.yml:1:1: default_upstream: warning: docker.io is not among the upstreams, so names without a host go to the first one, quay.io',
    ]);
  });

  it('is the given one', async () => {
    const { config, warnings } = await folder.load(
      'default_upstream: GHCR.io\nupstreams: { docker.io: , ghcr.io: }',
    );
    expect([config.defaultUpstream, warnings]).toEqual(['ghcr.io', []]);
  });

  it.each([
    [
      'default_upstream: gcr.io\nupstreams: { docker.io: , ghcr.io: }',
      'gcr.io is not one of the upstreams (docker.io, ghcr.io) (did you mean ghcr.io?)',
    ],
    ['default_upstream: ghcr.io\n', 'ghcr.io is not one of the upstreams (docker.io)'],
  ])('must be configured: %j', async (text, message) => {
    expect(await folder.problems(text)).toEqual([`mirror.yml:1:19: default_upstream: ${message}`]);
  });
});

describe('credentials', () => {
  it('are a username with a password or a file that holds it, its last line end left off', async () => {
    await folder.write('secret', 'p w\n\n');
    expect(
      await loadOne('upstreams: { a.io: { username: u, password_file: secret, share: all } }'),
    ).toMatchObject({
      username: 'u',
      password: 'p w\n',
    });
    await folder.write('secret', 'windows\r\n');
    expect(
      await loadOne('upstreams: { a.io: { username: u, password_file: secret, share: all } }'),
    ).toMatchObject({
      password: 'windows',
    });
    expect(await loadOne('upstreams: { a.io: { username: u, password: "p", share: all } }')).toMatchObject({
      username: 'u',
      password: 'p',
    });
  });

  it('open to everyone only what is public, unless share says all', async () => {
    const entry = await loadOne('upstreams: { a.io: { username: u, password: "p" } }');
    expect(entry).toMatchObject({ username: 'u', share: 'public' });
  });

  it.each([
    ['{ username: u }', '1:22: upstreams.a.io.username: needs password or password_file'],
    ['{ password: p }', '1:22: upstreams.a.io.password: needs a username'],
    [
      '{ username: "a:b", password: p }',
      '1:32: upstreams.a.io.username: expected a name without a colon (numbers in quotes), got "a:b"',
    ],
    ['{ username: u, password_file: nope }', '1:50: upstreams.a.io.password_file: nope: no such file'],
    [
      '{ username: u, password_file: empty }',
      '1:50: upstreams.a.io.password_file: empty: expected a password in it, got an empty file',
    ],
    [
      '{ username: u, password_file: . }',
      '1:50: upstreams.a.io.password_file: .: expected a file, got a folder',
    ],
  ])('%s are not complete', async (entry, problem) => {
    await folder.write('empty', '\n');
    expect(await folder.problems(`upstreams: { a.io: ${entry.replace('}', ', share: all }')} }`)).toEqual([
      `mirror.yml:${problem}`,
    ]);
  });

  it('have one password', async () => {
    await folder.write('secret', 'p');
    const text = 'upstreams: { a.io: { username: u, password: p, password_file: secret, share: all } }';
    expect(await folder.problems(text)).toEqual([
      'mirror.yml:1:48: upstreams.a.io.password_file: give either password or password_file, not both',
    ]);
  });

  it.each([
    'upstreams: { a.io: { username: u, share: all, password: 4815162342 } }',
    'upstreams: { a.io: { username: u, share: all, password: [s4815162342] } }',
    'upstreams: { a.io: { url: "https://u:s4815162342@a.io" } }',
    'upstreams: { a.io: { url: "u:s4815162342@a.io" } }',
    'upstreams: { a.io: { url: "https://a.io/?token=s4815162342" } }',
    'upstreams: { a.io: { proxy: "socks5://u:s4815162342@p" } }',
    'upstreams: { a.io: { proxy: "http://u:%s4815162342@p" } }',
    'upstreams: { a.io: { url: ["https://a.io", "https://u:s4815162342@b.io"] } }',
    'lru: { redis: "redis://u:s4815162342@r/x" }',
    'fleet: { secret: s4815162342 }',
  ])('are in no message: %s', async text => {
    expect((await folder.problems(text)).join('\n')).not.toContain('4815162342');
  });

  it('that travel in the clear are warned about', async () => {
    const { warnings } = await folder.load(
      'upstreams:\n  a.io: { url: "http://a.io", username: u, password: p, share: all }\n  docker.io: { insecure: true, username: u, password: p, share: all }\n',
    );
    expect(warnings).toEqual([
      'mirror.yml:2:41: upstreams.a.io.username: warning: its password is sent over plain HTTP',
      'mirror.yml:3:42: upstreams.docker.io.username: warning: its password is sent over TLS without a certificate check (insecure)',
    ]);
  });
});

describe('other ways to log in', () => {
  it('are a helper, credentials by repository, a client certificate', async () => {
    await folder.write('secret', 'p\n');
    const { cert, key } = new CertificateAuthority(folder.path).issue();
    await folder.write('c.pem', cert);
    await folder.write('k.pem', key);
    const text =
      'upstreams: { a.io: { credential_helper: ecr-login, credential_helper_ttl: 5m, prefix: a/b, client_cert: c.pem, client_key: k.pem, share: all, credentials: [{ repositories: ["team/**"], username: u, password_file: secret }] } }';
    expect(await loadOne(text)).toMatchObject({
      credentialHelper: { name: 'ecr-login', ttlMs: 300_000 },
      credentials: [
        {
          repositories: ['team/**'],
          username: 'u',
          password: 'p',
          passwordFile: join(folder.path, 'secret'),
        },
      ],
      clientCertificate: { certificate: cert, key },
      prefix: 'a/b',
    });
  });

  it('are complete and do not contradict each other', async () => {
    const authority = new CertificateAuthority(folder.path);
    await folder.write('c.pem', authority.issue().cert);
    await folder.write('k.pem', authority.issue().key);
    await folder.write('bad', 'x');
    const text = `upstreams:
  a.io: { credential_helper: "x/y", username: u, password: p }
  b.io: { client_cert: c.pem }
  c.io: { client_cert: c.pem, client_key: k.pem, prefix: /x/ }
  d.io: { client_cert: c.pem, client_key: bad, credentials: [{ repositories: ["**"], username: u }] }
`;
    expect(await folder.problems(text)).toEqual([
      'mirror.yml:2:11: upstreams.a.io.credential_helper: give either credential_helper or username, not both',
      'mirror.yml:2:30: upstreams.a.io.credential_helper: expected the name of a helper, such as ecr-login for docker-credential-ecr-login, got "x/y"',
      'mirror.yml:3:11: upstreams.b.io.client_cert: needs client_key',
      'mirror.yml:4:43: upstreams.c.io.client_key: is not the key of the certificate in client_cert',
      'mirror.yml:4:58: upstreams.c.io.prefix: expected the path before the repositories, without slashes at its ends, such as team-proxy, got "/x/"',
      'mirror.yml:5:43: upstreams.d.io.client_key: bad: expected a private key in PEM form, without a passphrase',
      'mirror.yml:5:86: upstreams.d.io.credentials[0].username: needs password or password_file',
    ]);
  });

  it('warn when a client certificate opens what is not known to be public', async () => {
    const { cert, key } = new CertificateAuthority(folder.path).issue();
    await folder.write('c.pem', cert);
    await folder.write('k.pem', key);
    const { warnings } = await folder.load(
      'upstreams: { docker.io: { client_cert: c.pem, client_key: k.pem } }',
    );
    expect(warnings).toEqual([
      'mirror.yml:1:40: upstreams.docker.io.client_cert: warning: what it opens counts as public and goes to every client that access.rules let pull; share: all says that you know',
    ]);
  });
});

describe('ca_file', () => {
  it('is read relative to the file', async () => {
    const authority = new CertificateAuthority(folder.path);
    await folder.write('etc/m.yml', 'upstreams: { a.io: { ca_file: ../ca.pem } }');
    const { config } = await folder.load(undefined, {}, 'etc/m.yml');
    expect(config.upstreams.get('a.io')?.ca).toBe(authority.caPem);
  });

  it.each([
    ['hello', 'expected certificates in PEM form, got none'],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'certificate 1 of 1 is damaged'],
  ])('that holds %j is a problem at its line', async (content, reason) => {
    await folder.write('ca.pem', content);
    expect(await folder.problems('upstreams: { a.io: { ca_file: ca.pem } }')).toEqual([
      `mirror.yml:1:31: upstreams.a.io.ca_file: ca.pem: ${reason}`,
    ]);
  });

  it('that is missing is told together with everything else', async () => {
    const text = `upstreams: { a.io: { ca_file: ${join('deep', 'ca.pem')}, ip: 5 } }`;
    expect(await folder.problems(text)).toEqual([
      'mirror.yml:1:31: upstreams.a.io.ca_file: deep/ca.pem: no such file',
      'mirror.yml:1:48: upstreams.a.io.ip: expected any, 4 or 6, got the number 5',
    ]);
  });
});

describe('url', () => {
  it('may be a list: the first, and those asked after it', async () => {
    const upstream = await loadOne(
      'upstreams: { a.io: { url: [https://a.io, "http://b.lan:5000/?ns=a.io", https://c.io/x] } }',
    );
    expect(upstream?.url.href).toBe('https://a.io/');
    expect(upstream?.fallbacks.map(url => url.href)).toEqual([
      'http://b.lan:5000/?ns=a.io',
      'https://c.io/x',
    ]);
  });

  it('comes from the environment as a list with commas', async () => {
    const { config } = await folder.load('upstreams: { a.io: }', {
      CISTERN_UPSTREAMS_A_IO_URL: 'https://a.io, https://b.io',
    });
    const upstream = config.upstreams.get('a.io');
    expect([upstream?.url.host, ...(upstream?.fallbacks ?? []).map(url => url.host)]).toEqual([
      'a.io',
      'b.io',
    ]);
  });

  it('that is this mirror itself is refused, wherever it stands in a list', async () => {
    const text =
      'http: { names: ["m.lan:5000"], public_url: "https://x.lan" }\nupstreams:\n  a.io: { url: "http://m.lan:5000" }\n  b.io: { url: ["https://b.io", "https://x.lan/?ns=b.io"] }\n';
    expect(await folder.problems(text)).toEqual([
      'mirror.yml:3:16: upstreams.a.io.url: m.lan:5000 is this mirror itself; give another registry',
      'mirror.yml:4:33: upstreams.b.io.url[1]: x.lan is this mirror itself; give another registry',
    ]);
  });
});

describe('proxies', () => {
  const environment = {
    HTTPS_PROXY: 'http://u:p@big:3128',
    http_proxy: 'small:3128',
    NO_PROXY: 'lan, .corp 10.0.0.0/8',
  };
  const ofEnvironment = {
    https: new URL('http://u:p@big:3128'),
    http: new URL('http://small:3128'),
    bypass: ['localhost', '127.0.0.0/8', '::1', 'lan', '.corp', '10.0.0.0/8'],
  };

  it('come from the environment, in capitals or small, or from the upstream, or are none', async () => {
    const { config } = await folder.load(
      'upstreams: { a.io: , b.io: { proxy: "https://own:1" }, c.io: { proxy: none } }',
      environment,
    );
    expect([...config.upstreams.values()].map(({ proxy }) => proxy)).toEqual([
      ofEnvironment,
      { http: new URL('https://own:1'), https: new URL('https://own:1'), bypass: [] },
      undefined,
    ]);
  });

  it('of one scheme are not used for the other', async () => {
    const { config } = await folder.load('upstreams: { a.io: }', { HTTP_PROXY: 'http://p' });
    expect(config.upstreams.get('a.io')?.proxy).toMatchObject({ http: new URL('http://p') });
    expect(config.upstreams.get('a.io')?.proxy).not.toHaveProperty('https');
  });

  it('that are none count as absent, and so does NO_PROXY alone', async () => {
    const { config } = await folder.load('upstreams: { a.io: }', { HTTP_PROXY: '', NO_PROXY: '*' });
    expect(config.upstreams.get('a.io')).not.toHaveProperty('proxy');
  });

  it('of the environment that cannot be used are named, and their passwords are not', async () => {
    expect(await folder.problems('', { HTTPS_PROXY: 'socks5://u:s4815162342@p' })).toEqual([
      'environment:HTTPS_PROXY: expected a proxy such as http://proxy.lan:3128 (http or https, no path)',
    ]);
  });
});
