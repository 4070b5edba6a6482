import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigFolder } from './config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

describe('without anything set', () => {
  it('everything has its documented default', async () => {
    const { config, warnings, source } = await folder.load();
    expect(source).toBe('defaults');
    expect(warnings).toEqual([]);
    expect({ ...config, upstreams: [...config.upstreams] }).toEqual({
      http: {
        listen: [{ host: '::', port: 5000 }],
        names: [],
        trustedProxies: [],
        drainMs: 30_000,
        maxConnections: 0,
      },
      store: {
        path: join(folder.path, 'data'),
        maxBytes: 50 * 2 ** 30,
        minFreeBytes: undefined,
        lowWatermark: 0.9,
        partialTtlMs: 7 * 86_400_000,
        verifyAfterMs: 30 * 86_400_000,
        recordsTtlMs: 180 * 86_400_000,
        scrub: { everyMs: 30 * 86_400_000, bytesPerSecond: 20 * 2 ** 20 },
      },
      upstreams: [
        [
          'docker.io',
          {
            key: 'docker.io',
            url: new URL('https://registry-1.docker.io'),
            fallbacks: [],
            credentials: [],
            share: 'public',
            insecure: false,
            ip: 'any',
            tokenHosts: [],
            aliases: [],
            allow: [],
            deny: [],
            finish: 'always',
            maxTransfers: 64,
            timeouts: {
              connectMs: 3000,
              firstByteMs: 8000,
              stallMs: 15_000,
              giveUpMs: 60_000,
              minRate: 1024,
            },
          },
        ],
      ],
      defaultUpstream: 'docker.io',
      offline: false,
      tags: {
        ttlMs: 60_000,
        patterns: [],
        checkTimeoutMs: 2000,
        staleIfErrorMs: Number.POSITIVE_INFINITY,
        on404: 'keep',
        negativeTtlMs: 60_000,
      },
      metrics: { path: '/metrics' },
      hosted: {
        repositories: [],
        immutable: [],
        quotas: [],
        retention: [],
        readOnly: false,
        uploadTtlMs: 86_400_000,
        gcGraceMs: 86_400_000,
        undeleteMs: 86_400_000,
        untaggedTtlMs: 30 * 86_400_000,
        maxBytes: Number.POSITIVE_INFINITY,
      },
      warm: [],
      notifications: [],
      access: { tokenTtlMs: 300_000 },
      log: { level: 'info', format: 'auto', access: true },
      lru: { required: false },
    });
  });

  it.each([
    ['empty', ''],
    ['a comment', '# nothing\n'],
    [
      'sections without keys',
      'http:\nstore:\nlru:\nupstreams:\ntags:\nhosted:\naccess:\nfleet:\nmetrics:\nlog:\noffline:\n',
    ],
  ])('a file of this kind is as good as none: %s', async (_kind, text) => {
    const { config } = await folder.load();
    expect((await folder.load(text)).config).toEqual(config);
  });
});

describe('the file', () => {
  it('is mirror.yml in the working folder', async () => {
    const { config, source } = await folder.load('offline: true\n');
    expect(config.offline).toBe(true);
    expect(source).toBe(join(folder.path, 'mirror.yml'));
  });

  it('named by CISTERN_CONFIG goes before mirror.yml, and --config before both', async () => {
    await folder.write('a/env.yml', 'log: { level: warn }\n');
    await folder.write('a/flag.yml', 'log: { level: error }\n');
    const env = { CISTERN_CONFIG: 'a/env.yml' };
    expect((await folder.load('offline: true\n', env)).config.log.level).toBe('warn');
    expect((await folder.load(undefined, env, 'a/flag.yml')).config.log.level).toBe('error');
    expect((await folder.load(undefined, { CISTERN_CONFIG: '' })).config.offline).toBe(true);
  });

  it('is what relative paths are relative to', async () => {
    await folder.write('etc/flag.yml', 'store: { path: ../cache }\n');
    expect((await folder.load(undefined, {}, 'etc/flag.yml')).config.store.path).toBe(
      join(folder.path, 'cache'),
    );
    await folder.write('etc/flag.yml', 'offline: true\n');
    expect((await folder.load(undefined, {}, 'etc/flag.yml')).config.store.path).toBe(
      join(folder.path, 'etc/data'),
    );
  });

  it('that is named must exist', async () => {
    expect(await folder.problems(undefined, {}, 'nope.yml')).toEqual(['nope.yml: no such file']);
    expect(await folder.problems(undefined, { CISTERN_CONFIG: '/nope/x.yml' })).toEqual([
      '/nope/x.yml: no such file',
    ]);
  });

  it('must be a file of UTF-8 text', async () => {
    await mkdir(join(folder.path, 'mirror.yml'));
    expect(await folder.problems()).toEqual(['mirror.yml: expected a file, got a folder']);
    await folder.write('latin1.yml', Buffer.from([0x23, 0xe4, 0x0a]));
    expect(await folder.problems(undefined, {}, 'latin1.yml')).toEqual(['latin1.yml: expected UTF-8 text']);
  });

  it('may begin with a byte order mark', async () => {
    expect((await folder.load('\uFEFFoffline: true\n')).config.offline).toBe(true);
  });
});

describe('values', () => {
  it('become what the daemon works with', async () => {
    const text = `
http:
  listen: [":5000", { address: "127.0.0.1:0" }]
  public_url: https://mirror.lan/
  names: [Mirror.lan, "mirror:5000"]
  trusted_proxies: [10.0.0.0/8, "::1"]
  drain: 0
  accel: { header: X-Send, prefix: /a/b.c/ }
store: { path: /srv/x, max_size: 0, min_free: 0, low_watermark: 75%, partial_ttl: 12h, verify_after: 0, records_ttl: 90d, scrub: { every: 7d, rate: 1.5MB/s } }
offline: true
tags: { ttl: 0, check_timeout: 500ms, stale_if_error: 2d, on_404: honour, negative_ttl: 0, patterns: [{ tags: ['v*.*.*'], ttl: 1d }] }
metrics: { path: /stats, listen: "127.0.0.1:9100" }
log: { level: debug, format: text, access: false }
tracing: { endpoint: 'http://otel:4318', sample: 0.25 }
`;
    const { config } = await folder.load(text);
    expect(config).toMatchObject({
      http: {
        accel: { header: 'X-Send', prefix: '/a/b.c/' },
        listen: [
          { host: '::', port: 5000 },
          { host: '127.0.0.1', port: 0 },
        ],
        publicUrl: 'https://mirror.lan',
        names: ['mirror.lan', 'mirror:5000'],
        trustedProxies: ['10.0.0.0/8', '::1'],
        drainMs: 0,
      },
      store: {
        path: '/srv/x',
        maxBytes: Number.POSITIVE_INFINITY,
        minFreeBytes: 0,
        lowWatermark: 0.75,
        partialTtlMs: 43_200_000,
        verifyAfterMs: 0,
        recordsTtlMs: 7_776_000_000,
        scrub: { everyMs: 604_800_000, bytesPerSecond: 1_500_000 },
      },
      offline: true,
      tags: {
        ttlMs: 0,
        patterns: [{ repositories: ['**'], tags: ['v*.*.*'], ttlMs: 86_400_000 }],
        checkTimeoutMs: 500,
        staleIfErrorMs: 172_800_000,
        on404: 'honour',
        negativeTtlMs: 0,
      },
      metrics: { path: '/stats', listen: { host: '127.0.0.1', port: 9100 } },
      log: { level: 'debug', format: 'text', access: false },
      tracing: { endpoint: new URL('http://otel:4318'), sample: 0.25 },
    });
  });

  it('of metrics.listen: an empty text is no listener', async () => {
    expect((await folder.load('metrics: { listen: "" }\n')).config.metrics).toEqual({ path: '/metrics' });
  });
});
