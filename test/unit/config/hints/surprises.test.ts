/** What may be set and is hardly meant: each is a warning at its place, and the configuration is loaded. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

it.each([
  ['', 'mirror.yml:1:1: warning: nothing is set in this file, so all defaults hold'],
  ['# offline: true\n', 'mirror.yml:1:1: warning: nothing is set in this file, so all defaults hold'],
  [
    'http: { accel: {} }',
    'mirror.yml:1:16: http.accel: warning: changes nothing without http.trusted_proxies; name the address of the proxy there',
  ],
  [
    'store: { max_size: 500 }',
    'mirror.yml:1:20: store.max_size: warning: 500 without a unit means 500 bytes; write a unit, such as 500GiB',
  ],
  [
    'store:\n  min_free: "2"\n',
    'mirror.yml:2:13: store.min_free: warning: 2 without a unit means 2 bytes; write a unit, such as 2GiB',
  ],
  [
    'store: { path: ~/cistern }',
    'mirror.yml:1:16: store.path: warning: ~ is not expanded here; write the whole path',
  ],
  ...['https://docker.io', 'https://hub.docker.com', 'https://www.docker.com/'].map(url => [
    `upstreams: { docker.io: { url: ["${url}"] } }`,
    `mirror.yml:1:33: upstreams.docker.io.url[0]: warning: ${new URL(url).hostname} is a web site; the registry of Docker Hub is https://registry-1.docker.io, the default`,
  ]),
  [
    'upstreams: { hub.docker.com: { aliases: [x.lan] } }',
    'mirror.yml:1:30: upstreams.hub.docker.com: warning: image names call Docker Hub docker.io; write "docker.io:" instead',
  ],
  ...['http://localhost:5000', 'http://127.0.0.1:5000/x', 'http://[::1]:5000/?ns=ghcr.io'].map(url => [
    `upstreams: { docker.io: { url: "${url}" } }`,
    `mirror.yml:1:32: upstreams.docker.io.url: warning: ${new URL(url).host} is an address of this mirror, which would ask itself; give another registry`,
  ]),
])('%j', async (text, warning) => {
  const { warnings } = await folder.load(text);
  expect(warnings).toEqual([warning]);
});

it.each([
  'store: { max_size: 0, min_free: 2GiB, path: "/srv/~x" }',
  'upstreams: { docker.io: { url: "https://index.docker.io" } }',
  'upstreams: { docker.io: { url: "http://localhost:5001" } }',
  'http: { listen: "127.0.0.1:80" }\nupstreams: { docker.io: { url: "https://127.0.0.1" } }',
])('nothing is said of %j', async text => {
  expect((await folder.load(text)).warnings).toEqual([]);
});

it('a file that is named with ~ is not found, and the message says why', async () => {
  expect(await folder.problems('access: { htpasswd: ~/htpasswd }')).toEqual([
    'mirror.yml:1:21: access.htpasswd: ~/htpasswd: no such file; ~ is not expanded here, write the whole path',
  ]);
});

it.each([
  [
    'CISTERN_LISTEN',
    ':1',
    'ignored, not a setting; did you mean CISTERN_HTTP_LISTEN or CISTERN_METRICS_LISTEN?',
  ],
  ['CISTERN_LOW_WATERMARK', '80%', 'ignored, not a setting; did you mean CISTERN_STORE_LOW_WATERMARK?'],
  ['CISTERN_PORT', '5000', 'ignored, not a setting; did you mean CISTERN_HTTP_LISTEN=:5000?'],
  ['CISTERN_SERVICE_PORT', 'tcp://10.0.0.1:5000', 'ignored, not a setting'],
  ['CISTERN_OFLINE', 'true', 'ignored, not a setting; did you mean CISTERN_OFFLINE?'],
  ['CISTERN_CONFG', 'x', 'ignored, not a setting; did you mean CISTERN_CONFIG?'],
  ['cistern_http_listen', ':1', 'ignored; the setting is called CISTERN_HTTP_LISTEN'],
  ['Cistern_Store_Pth', 'x', 'ignored; the setting is called CISTERN_STORE_PATH'],
  ['cistern_config', 'x', 'ignored; the setting is called CISTERN_CONFIG'],
  ['CISTEN_STORE_PATH', 'x', 'ignored; the setting is called CISTERN_STORE_PATH'],
  ['SISTERN_TAGS_TTL', 'x', 'ignored; the setting is called CISTERN_TAGS_TTL'],
])('%s=%s', async (variable, value, message) => {
  const { warnings } = await folder.load(undefined, { [variable]: value });
  expect(warnings).toEqual([`environment:${variable}: warning: ${message}`]);
});

it('variables of others are no concern of ours', async () => {
  const others = {
    PATH: '/bin',
    SYSTEM_STORE_PATH: 'x',
    cistern: 'x',
    CISTERNA_X: 'y',
    _: 'z',
    npm_config_http_listen: ':1',
  };
  expect((await folder.load(undefined, others)).warnings).toEqual([]);
});
