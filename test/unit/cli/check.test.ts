import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { type CheckOptions, runCheck } from '../../../src/cli/check.ts';
import { startFakeUpstream } from '../../support/upstream.ts';
import { ConfigFolder } from '../config/config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

async function check(options: Partial<CheckOptions> = {}) {
  const written: string[] = [];
  const write = (text: string): void => void written.push(text);
  const code = await runCheck({ env: {}, ...options, cwd: folder.path, write });
  return { code, output: written.join('') };
}

describe('cistern check', () => {
  it('sums up what a usable configuration comes to', async () => {
    const text = `
http: { listen: [":5000", "127.0.0.1:5001"], public_url: https://mirror.lan, names: [m.lan] }
store: { path: /srv/cistern, max_size: 200GB, min_free: 1GiB }
upstreams:
  docker.io: { username: someone, password: hunter2, share: all, aliases: [hub.lan], ip: 4, allow: ["library/**"] }
  r.lan: { url: "http://10.0.0.1:5000/x", insecure: true, deny: ["secret/**"] }
  s.lan: { url: ["https://s.lan", "http://m:5000/?ns=s.lan"], proxy: "http://u:hunter2@p.lan:3128" }
tags: { stale_if_error: 7d }
metrics: { listen: ":9100" }
log: { access: false }
`;
    await folder.write('mirror.yml', text);
    expect(await check()).toEqual({
      code: 0,
      output: `the configuration is valid (${folder.path}/mirror.yml)
  listen              [::]:5000, 127.0.0.1:5001
  public url          https://mirror.lan
  own names           m.lan
  store               /srv/cistern, at most 200GB, 1GiB left free, evicts down to 90 %
  lru                 in this process
  upstream docker.io  https://registry-1.docker.io (as someone, shared with everyone; also hub.lan; IPv4 only; only library/**)
  upstream r.lan      http://10.0.0.1:5000/x (anonymous; certificate not checked; not secret/**)
  upstream s.lan      https://s.lan, then http://m:5000/?ns=s.lan (anonymous; through http://p.lan:3128)
  default upstream    docker.io
  tags                fresh for 1m, then stale for 7d; gone upstream: keep
  metrics             [::]:9100/metrics
  log                 info, auto, no access log
`,
    });
  });

  it('as JSON has the same, whether it is usable or not', async () => {
    await folder.write('mirror.yml', 'store: { path: /srv/cistern }\n');
    const good = await check({ json: true });
    expect([good.code, JSON.parse(good.output)]).toEqual([
      0,
      expect.objectContaining({
        valid: true,
        problems: [],
        source: `${folder.path}/mirror.yml`,
        summary: expect.objectContaining({ lru: 'in this process' }),
      }),
    ]);
    await folder.write('mirror.yml', 'stores: {}\nlog: { level: loud }\n');
    const bad = await check({ json: true });
    const { valid, problems, warnings } = JSON.parse(bad.output);
    expect([bad.code, valid, problems.length, warnings]).toEqual([2, false, 2, []]);
    expect(problems[0]).toContain('mirror.yml:1:1: stores: unknown key');
  });

  it('says when there is no file', async () => {
    const { code, output } = await check();
    expect(code).toBe(0);
    expect(output).toContain('the configuration is valid (no mirror.yml found, all defaults)\n');
  });

  it('prints warnings and goes on', async () => {
    const { code, output } = await check({ env: { CISTERN_PORT: 'tcp://1.2.3.4:5' } });
    expect(code).toBe(0);
    expect(output).toMatch(
      /^environment:CISTERN_PORT: warning: ignored, not a setting\nthe configuration is valid/,
    );
  });

  it('prints every problem and ends with 2', async () => {
    await folder.write('m.yml', 'offline: 1\nlog: { level: loud }\n');
    expect(await check({ file: 'm.yml' })).toEqual({
      code: 2,
      output:
        'm.yml:1:10: offline: expected true or false, got the number 1\n' +
        'm.yml:2:15: log.level: expected debug, info, warn or error, got "loud"\n',
    });
  });

  it('warns of what this machine has not: a folder, a disk, a port; each at its place', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    await folder.write(
      'mirror.yml',
      `http: { listen: ["127.0.0.1:0", "127.0.0.1:${port}"] }\nstore: { path: mirror.yml/data, max_size: 8000TiB }\n`,
    );
    const { code, output } = await check();
    expect(code).toBe(0);
    const [onFolder, onSize, onPort, summary] = output.split('\n');
    expect(onFolder).toBe(
      `mirror.yml:2:16: store.path: warning: ${folder.path}/mirror.yml/data is a file, or lies below one; choose a folder`,
    );
    expect(onSize).toMatch(
      /^mirror\.yml:2:43: store\.max_size: warning: 8000TiB is more than the disk has \([\d.]+ [GT]iB\)$/,
    );
    expect(onPort).toMatch(
      new RegExp(
        `^mirror\\.yml:1:17: http\\.listen: warning: 127\\.0\\.0\\.1:${port} is in use by process ${process.pid} \\(.+\\); stop it, or choose another port$`,
      ),
    );
    expect(summary).toMatch(/^the configuration is valid/);
  });

  it('warns of an upstream at an address of this machine on a port of this mirror', async () => {
    await folder.write(
      'mirror.yml',
      'http: { listen: ":5000" }\nupstreams: { a.lan: { url: "http://10.1.2.3:5000" }, b.lan: { url: "http://10.1.2.3:5001" } }\n',
    );
    const address = {
      address: '10.1.2.3',
      family: 'IPv4',
      internal: false,
      netmask: '',
      mac: '',
      cidr: null,
    } as const;
    const { output } = await check({ interfaces: () => ({ eth0: [address] }) });
    expect(output.split('\n').filter(line => line.includes('would ask itself'))).toEqual([
      'mirror.yml:2:28: upstreams.a.lan.url: warning: 10.1.2.3:5000 is an address of this mirror, which would ask itself; give another registry',
    ]);
  });

  it('--upstreams asks each URL once, without a pull, and says what it answers', async () => {
    const hub = await startFakeUpstream();
    const other = await startFakeUpstream();
    await folder.write(
      'mirror.yml',
      `http: { listen: "127.0.0.1:0" }\nupstreams:\n  docker.io: { url: "${hub.url}" }\n  b.lan: { url: ["${other.url}", "http://127.0.0.1:1"] }\n`,
    );
    const { code, output } = await check({ upstreams: true });
    expect(code).toBe(1);
    const [hubHost, otherHost] = [new URL(hub.url).host, new URL(other.url).host];
    expect(output.slice(output.indexOf('\nthe upstreams answer'))).toBe(`
the upstreams answer:
  docker.io  ${hubHost}: reachable, no token needed, no pull limit
  b.lan      ${otherHost}: reachable, no token needed, no pull limit
  b.lan      127.0.0.1:1: not usable: connect ECONNREFUSED 127.0.0.1:1
`);
    const asked = (upstream: typeof hub) => upstream.requests.map(({ method, path }) => `${method} ${path}`);
    expect(asked(hub)).toEqual(['HEAD /v2/ratelimitpreview/test/manifests/latest']);
    expect(asked(other)).toEqual(['HEAD /v2/cistern/check/manifests/latest']);
  });

  it('--upstreams says nothing is asked where the configuration says offline', async () => {
    await folder.write('mirror.yml', 'offline: true\n');
    const { code, output } = await check({ upstreams: true });
    expect(code).toBe(0);
    expect(output).toMatch(/\noffline: no upstream is asked\n$/);
  });
});
