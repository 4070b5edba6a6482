import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCheck } from '../../../src/cli/check.ts';
import { ConfigFolder } from '../config/config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

async function check(options: { file?: string; upstreams?: boolean; env?: NodeJS.ProcessEnv } = {}) {
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
  log                 info, json, no access log
`,
    });
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
      /^warning: environment:CISTERN_PORT: ignored, not a setting\nthe configuration is valid/,
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

  it('refuses --upstreams, which this version does not have', async () => {
    const { code, output } = await check({ upstreams: true });
    expect(code).toBe(2);
    expect(output).toBe('--upstreams is not available in this version; run check without it\n');
  });
});
