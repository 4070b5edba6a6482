import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigFolder } from './config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

it('all problems are reported at once, each with its place, in the order of the file', async () => {
  const text = `http:
  lisen: ":5000"
  drain: 5
store:
  max_size: 50G
  max_size: 3
offline: yes
upstreams:
  ghcr.io: { usrname: u, timeouts: { connect: 0 } }
  ghcr:
tags: { on_404: kep, ttl: [1] }
log: true
`;
  const env = { CISTERN_TAGS_NEGATIVE_TTL: '5' };
  expect(await folder.problems(text, env)).toEqual([
    'mirror.yml:2:3: http.lisen: unknown key, did you mean listen?',
    'mirror.yml:3:10: http.drain: expected a duration such as 500ms, 5s, 5m, 2h or 7d (0: none), got the number 5',
    'mirror.yml:6:3: store.max_size: given twice; first on line 5',
    'mirror.yml:7:10: offline: expected true or false, got "yes"',
    'mirror.yml:9:14: upstreams.ghcr.io.usrname: unknown key, did you mean username?',
    'mirror.yml:9:47: upstreams.ghcr.io.timeouts.connect: expected at least 1ms, got the number 0',
    'mirror.yml:10:3: upstreams.ghcr: expected a host as it stands in image names, such as ghcr.io or registry:5000 (with a dot or a port), got "ghcr"',
    'mirror.yml:11:17: tags.on_404: expected keep or honour, got "kep" (did you mean keep?)',
    'mirror.yml:11:27: tags.ttl: expected a duration such as 500ms, 5s, 5m, 2h or 7d (0: none), got a list',
    'mirror.yml:12:6: log: expected a section with keys, got true',
    'environment:CISTERN_TAGS_NEGATIVE_TTL: tags.negative_ttl: expected a duration such as 500ms, 5s, 5m, 2h or 7d (0: none), got "5"',
  ]);
});

describe('an unknown key', () => {
  it.each([
    ['max_size: 5', '1:1: max_size: unknown key here; did you mean store.max_size?'],
    ['ghcr.io: {}', '1:1: ghcr.io: unknown key; did you mean upstreams.ghcr.io?'],
    ['defaultUpstream: x', '1:1: defaultUpstream: unknown key, did you mean default_upstream?'],
    ['log: { zzzzzz: 1 }', '1:8: log.zzzzzz: unknown key; known here: level, format, access, audit'],
    ['log: { zzzzzz: }', '1:8: log.zzzzzz: unknown key; known here: level, format, access, audit'],
    [
      'http: { listen: [{ adress: ":1", address: ":2" }] }',
      '1:20: http.listen[0].adress: unknown key, did you mean address?',
    ],
    [
      'upstreams: { a.io: { timeouts: { stal: 1s } } }',
      '1:34: upstreams.a.io.timeouts.stal: unknown key, did you mean stall?',
    ],
    [
      '__proto__: { a: 1 }',
      '1:1: __proto__: unknown key; known here: http, store, lru, upstreams, default_upstream, offline, tags, hosted, access, warm, notifications, fleet, metrics, log, tracing',
    ],
  ])('in %j is told with what may be meant', async (text, problem) => {
    expect(await folder.problems(text)).toEqual([`mirror.yml:${problem}`]);
  });
});

describe('a bad value', () => {
  it.each([
    ['- a', '1:1: expected a section with keys, got a list'],
    ['store: [1]', '1:8: store: expected a section with keys, got a list'],
    ['upstreams: [docker.io]', '1:12: upstreams: expected a section with keys, got a list'],
    [
      'upstreams: { a.io: https://a.io }',
      '1:20: upstreams.a.io: expected a section with keys, got "https://a.io"',
    ],
    ['http: { listen: [] }', '1:17: http.listen: expected at least one entry'],
    [
      'http: { listen: 5000 }',
      '1:17: http.listen: expected an address such as "[::]:5000", "127.0.0.1:5000" or ":5000", got the number 5000',
    ],
    [
      'http: { listen: [":1", "::1:2"] }',
      '1:24: http.listen[1]: expected an address such as "[::]:5000", "127.0.0.1:5000" or ":5000", got "::1:2"',
    ],
    [
      'http: { listen: [{}] }',
      '1:18: http.listen[0].address: expected an address such as "[::]:5000", "127.0.0.1:5000" or ":5000", got nothing',
    ],
    ['http: { names: x }', '1:16: http.names: expected a list, got "x"'],
    [
      'http: { public_url: mirror.lan }',
      '1:21: http.public_url: expected a URL with http:// or https://, got "mirror.lan"',
    ],
    ['http: { drain: 2d }', '1:16: http.drain: expected at most 1d, got "2d"'],
    [
      'http: { trusted_proxies: [10.0.0.0/40] }',
      '1:27: http.trusted_proxies[0]: expected an IP address or a block such as 10.0.0.0/8, got "10.0.0.0/40"',
    ],
    [
      'http: { accel: { header: "X Y" } }',
      '1:26: http.accel.header: expected the name of a header, such as X-Accel-Redirect, got "X Y"',
    ],
    ...['/_blobs', '_blobs/', '/', '/../', '/v2/', '/a b/'].map(prefix => [
      `http: { accel: { prefix: "${prefix}" } }`,
      `1:26: http.accel.prefix: expected a path of its own with a slash at both ends, such as /_blobs/, got "${prefix}"`,
    ]),
    [
      'store: { low_watermark: 0.9 }',
      '1:25: store.low_watermark: expected a percentage from 1% to 100%, got the number 0.9',
    ],
    [
      'metrics: { path: /v2/x }',
      '1:18: metrics.path: expected a path that nothing else is served under, got "/v2/x"',
    ],
    ['metrics: { path: metrics }', '1:18: metrics.path: expected a path such as /metrics, got "metrics"'],
    [
      'upstreams: { a.io: { url: a.io } }',
      '1:27: upstreams.a.io.url: expected a URL with http:// or https://, got "a.io"',
    ],
    [
      'upstreams: { a.io: { url: ["https://a.io", b.io] } }',
      '1:44: upstreams.a.io.url[1]: expected a URL with http:// or https://, got "b.io"',
    ],
    ['upstreams: { a.io: { url: [] } }', '1:27: upstreams.a.io.url: expected at least one entry'],
    [
      'upstreams: { a.io: { url: "https://b.io/?ns=a.io&x=1" } }',
      '1:27: upstreams.a.io.url: expected a URL without query and fragment',
    ],
    [
      'upstreams: { a.io: { proxy: "socks5://p:1080" } }',
      '1:29: upstreams.a.io.proxy: expected a proxy such as http://proxy.lan:3128 (http or https, no path)',
    ],
    [
      'upstreams: { a.io: { url: "https://a.io/v2/" } }',
      '1:27: upstreams.a.io.url: expected the URL in front of /v2/, without it, got "https://a.io/v2/"',
    ],
    ['upstreams: { a.io: { ip: 5 } }', '1:26: upstreams.a.io.ip: expected any, 4 or 6, got the number 5'],
    ['upstreams: { a.io: { max_transfers: 0 } }', '1:37: upstreams.a.io.max_transfers: expected at least 1'],
    [
      'upstreams: { a.io: { max_transfers: 1.5 } }',
      '1:37: upstreams.a.io.max_transfers: expected a whole number, got the number 1.5',
    ],
    [
      'upstreams: { a.io: { allow: [/x] } }',
      '1:30: upstreams.a.io.allow[0]: expected a pattern over repositories such as "library/**", got "/x"',
    ],
    [
      'upstreams: { a.io: { finish: sometimes } }',
      '1:30: upstreams.a.io.finish: expected always or never, got "sometimes"',
    ],
  ])('in %j is told with what was expected', async (text, problem) => {
    expect(await folder.problems(text)).toEqual([`mirror.yml:${problem}`]);
  });

  it('behind an alias is told where it stands', async () => {
    const text = 'store: &x { max_size: 5G }\nlog: { level: info }\n';
    expect(await folder.problems(text)).toEqual([
      'mirror.yml:1:23: store.max_size: expected a size such as 50GiB, 500MB or 123 (bytes), got "5G"',
    ]);
    const aliased = 'upstreams:\n  a.io: &x { ip: 9 }\n  b.io: *x\n';
    expect(await folder.problems(aliased)).toEqual([
      'mirror.yml:2:18: upstreams.a.io.ip: expected any, 4 or 6, got the number 9',
      'mirror.yml:2:18: upstreams.b.io.ip: expected any, 4 or 6, got the number 9',
    ]);
  });
});
