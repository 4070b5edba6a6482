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

describe('a variable', () => {
  it('goes over the file, whatever kind its setting is', async () => {
    const env = {
      CISTERN_STORE_MAX_SIZE: '123MB',
      CISTERN_OFFLINE: 'true',
      CISTERN_HTTP_LISTEN: '[::1]:80, :81',
      CISTERN_HTTP_NAMES: 'a.lan,b.lan',
      CISTERN_TAGS_STALE_IF_ERROR: '0',
      CISTERN_TAGS_ON_404: 'honour',
      CISTERN_UPSTREAMS_DOCKER_IO_MAX_TRANSFERS: '5',
      CISTERN_UPSTREAMS_DOCKER_IO_IP: '6',
      CISTERN_UPSTREAMS_DOCKER_IO_TIMEOUTS_FIRST_BYTE: '4s',
    };
    const { config, warnings } = await folder.load(
      'store: { max_size: 5GB, low_watermark: 50% }\noffline: false\n',
      env,
    );
    expect(warnings).toEqual([]);
    expect(config.store).toMatchObject({ maxBytes: 123e6, lowWatermark: 0.5 });
    expect(config.offline).toBe(true);
    expect(config.http).toMatchObject({
      listen: [
        { host: '::1', port: 80 },
        { host: '::', port: 81 },
      ],
      names: ['a.lan', 'b.lan'],
    });
    expect(config.tags).toMatchObject({ staleIfErrorMs: 0, on404: 'honour' });
    expect(config.upstreams.get('docker.io')).toMatchObject({
      maxTransfers: 5,
      ip: 6,
      timeouts: { firstByteMs: 4000, stallMs: 15_000 },
    });
  });

  it('that is empty counts as absent, also where it stands for a section (docker-compose.yml hands one over)', async () => {
    const env = { CISTERN_LRU_REDIS: '' };
    expect((await folder.load('', env)).config.lru.redis).toBeUndefined();
    const { config, warnings } = await folder.load('lru: { redis: "redis://of.mine" }', env);
    expect(config.lru.redis?.addresses).toEqual([{ host: 'of.mine', port: 6379 }]);
    expect(warnings).toEqual([]);
    expect((await folder.load('log: { level: warn }', { CISTERN_LOG_LEVEL: '' })).config.log.level).toBe(
      'warn',
    );
  });

  it('with a relative path means the working folder, not the folder of the file', async () => {
    await folder.write('etc/m.yml', 'store: { path: x }');
    const { config } = await folder.load(undefined, { CISTERN_STORE_PATH: './y' }, 'etc/m.yml');
    expect(config.store.path).toBe(join(folder.path, 'y'));
  });

  it('with a bad value is a problem that names it', async () => {
    const env = {
      CISTERN_OFFLINE: 'yes',
      CISTERN_HTTP_LISTEN: ':1,x',
      CISTERN_DEFAULT_UPSTREAM: 'x.io',
      CISTERN_UPSTREAMS_DOCKER_IO_MAX_TRANSFERS: 'many',
    };
    expect(await folder.problems('', env)).toEqual([
      'environment:CISTERN_DEFAULT_UPSTREAM: default_upstream: x.io is not one of the upstreams (docker.io)',
      'environment:CISTERN_HTTP_LISTEN: http.listen[1]: expected an address such as "[::]:5000", "127.0.0.1:5000" or ":5000", got "x"',
      'environment:CISTERN_OFFLINE: offline: expected true or false, got "yes"',
      'environment:CISTERN_UPSTREAMS_DOCKER_IO_MAX_TRANSFERS: upstreams.docker.io.max_transfers: expected a whole number, got "many"',
    ]);
  });

  it.each([
    [
      'CISTERN_FLEET_HOSTED_ON',
      'fleet.hosted_on: hosted content in a fleet needs a bucket, which comes later',
    ],
  ])('%s of a later version stops the start', async (variable, problem) => {
    expect(await folder.problems(undefined, { [variable]: 'x' })).toEqual([
      `environment:${variable}: ${problem}; remove the key`,
    ]);
  });

  it('that is unknown only warns', async () => {
    const { warnings } = await folder.load(undefined, {
      CISTERN_PORT: 'tcp://10.0.0.1:5000',
      CISTERN_PORT_5000_TCP_ADDR: '10.0.0.1',
      CISTERN_STORE_MAX_SICE: '1',
      CISTERN_CONFIG: '',
      PATH: '/bin',
    });
    expect(warnings).toEqual([
      'environment:CISTERN_PORT: warning: ignored, not a setting',
      'environment:CISTERN_PORT_5000_TCP_ADDR: warning: ignored, not a setting',
      'environment:CISTERN_STORE_MAX_SICE: warning: ignored, not a setting; did you mean CISTERN_STORE_MAX_SIZE?',
    ]);
  });

  it('does not hide that the section in the file is wrong', async () => {
    expect(await folder.problems('store: 5', { CISTERN_STORE_PATH: '/x' })).toEqual([
      'mirror.yml:1:8: store: expected a section with keys, got the number 5',
    ]);
  });
});

describe('a variable for an upstream', () => {
  const credentials = { CISTERN_UPSTREAMS_DOCKER_IO_USERNAME: 'u', CISTERN_UPSTREAMS_DOCKER_IO_SHARE: 'all' };

  it('reaches docker.io without any file', async () => {
    await folder.write('secret', 'p\n');
    const { config } = await folder.load(undefined, {
      ...credentials,
      CISTERN_UPSTREAMS_DOCKER_IO_PASSWORD_FILE: 'secret',
    });
    expect(config.upstreams.get('docker.io')).toMatchObject({ username: 'u', password: 'p', share: 'all' });
  });

  it('keeps text that looks like something else as text', async () => {
    const { config } = await folder.load(undefined, {
      ...credentials,
      CISTERN_UPSTREAMS_DOCKER_IO_PASSWORD: '123',
    });
    expect(config.upstreams.get('docker.io')?.password).toBe('123');
  });

  it('finds hosts with ports and dashes, and Docker Hub under both names', async () => {
    const text = 'upstreams: { "a-b.lan:5000": , index.docker.io: }';
    const env = {
      CISTERN_UPSTREAMS_A_B_LAN_5000_INSECURE: 'true',
      CISTERN_UPSTREAMS_DOCKER_IO_IP: '4',
      CISTERN_UPSTREAMS_INDEX_DOCKER_IO_FINISH: 'never',
    };
    const { config, warnings } = await folder.load(text, env);
    expect(warnings).toEqual([]);
    expect(config.upstreams.get('a-b.lan:5000')?.insecure).toBe(true);
    expect(config.upstreams.get('docker.io')).toMatchObject({ ip: 4, finish: 'never' });
  });

  it('adds no upstream that the file does not have', async () => {
    const { config, warnings } = await folder.load(undefined, {
      CISTERN_UPSTREAMS_GHCR_IO_IP: '4',
      CISTERN_UPSTREAMS_OTHER_LAN_IP: '4',
    });
    expect([...config.upstreams.keys()]).toEqual(['docker.io']);
    expect(warnings).toEqual([
      'environment:CISTERN_UPSTREAMS_GHCR_IO_IP: warning: ignored, because ghcr.io is not among the upstreams; add "ghcr.io:" to them in the file',
      'environment:CISTERN_UPSTREAMS_OTHER_LAN_IP: warning: ignored, not a setting',
    ]);
  });

  it('with a password takes the place of the password file, and the other way round', async () => {
    await folder.write('secret', 'from the file\n');
    const withFile = 'upstreams: { docker.io: { username: u, share: all, password_file: gone } }';
    const one = await folder.load(withFile, { CISTERN_UPSTREAMS_DOCKER_IO_PASSWORD: 'p' });
    expect(one.config.upstreams.get('docker.io')?.password).toBe('p');
    const withText = 'upstreams: { docker.io: { username: u, share: all, password: p } }';
    const other = await folder.load(withText, { CISTERN_UPSTREAMS_DOCKER_IO_PASSWORD_FILE: 'secret' });
    expect(other.config.upstreams.get('docker.io')?.password).toBe('from the file');
  });

  it('is refused beside its rival', async () => {
    await folder.write('secret', 'p');
    const env = {
      ...credentials,
      CISTERN_UPSTREAMS_DOCKER_IO_PASSWORD: 'p',
      CISTERN_UPSTREAMS_DOCKER_IO_PASSWORD_FILE: 'secret',
    };
    expect(await folder.problems(undefined, env)).toEqual([
      'environment:CISTERN_UPSTREAMS_DOCKER_IO_PASSWORD_FILE: upstreams.docker.io.password_file: give either password or password_file, not both',
    ]);
  });

  it('that two hosts could mean is refused', async () => {
    expect(
      await folder.problems('upstreams: { a-b.io: , a.b.io: }', { CISTERN_UPSTREAMS_A_B_IO_IP: '4' }),
    ).toEqual([
      'environment:CISTERN_UPSTREAMS_A_B_IO_IP: means both upstreams.a-b.io.ip and upstreams.a.b.io.ip; set them in the file',
    ]);
  });
});
