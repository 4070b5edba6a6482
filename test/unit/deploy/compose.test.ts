/** docker-compose.yml: what each choice of profiles starts, that it has all it needs, and that nothing is in its way. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../../src/config/load.ts';
import { composeFolder, mirrorsAmong, readComposeFile, startedBy } from '../../support/compose-file.ts';
import { tempDir } from '../../support/temp-dir.ts';

const file = readComposeFile();
const read = (path: string) => readFileSync(join(composeFolder, path), 'utf8');
const scraped = parse(read('deploy/prometheus.yml')).scrape_configs[0].dns_sd_configs[0];
const inRedis = { CISTERN_LRU_REDIS: 'redis://redis:6379/0' };
const inFront = { CISTERN_HTTP_TRUSTED_PROXIES: '10.213.77.2', CISTERN_HTTP_ACCEL_PREFIX: '/_blobs/' };
const nodes = ['node1', 'node2', 'node3'];

interface Way {
  readonly profiles: readonly string[];
  /** Services that the command line names. */
  readonly names?: readonly string[];
  readonly variables?: Readonly<Record<string, string>>;
  readonly mirrors: readonly string[];
  readonly beside: readonly string[];
}

const ways: Readonly<Record<string, Way>> = {
  'docker compose up': { profiles: [], mirrors: ['mirror'], beside: [] },
  monitoring: { profiles: ['monitoring'], mirrors: ['mirror'], beside: ['grafana', 'prometheus'] },
  redis: { profiles: ['redis'], variables: inRedis, mirrors: ['mirror'], beside: ['redis'] },
  'redis and monitoring': {
    profiles: ['redis', 'monitoring'],
    variables: inRedis,
    mirrors: ['mirror'],
    beside: ['grafana', 'prometheus', 'redis'],
  },
  nginx: {
    profiles: ['nginx'],
    variables: inFront,
    mirrors: ['mirror'],
    beside: ['nginx'],
  },
  fleet: { profiles: ['fleet'], names: nodes, mirrors: nodes, beside: ['redis'] },
  'fleet and monitoring': {
    profiles: ['fleet', 'monitoring'],
    names: [...nodes, 'grafana'],
    mirrors: nodes,
    beside: ['grafana', 'prometheus', 'redis'],
  },
  'fleet without names': {
    profiles: ['fleet'],
    mirrors: ['mirror', ...nodes],
    beside: ['redis'],
  },
  'fleet and monitoring without names': {
    profiles: ['fleet', 'monitoring'],
    mirrors: ['mirror', ...nodes],
    beside: ['grafana', 'prometheus', 'redis'],
  },
};

test('without a profile is the mirror alone: it takes neither .env nor a choice to start', () => {
  const free = Object.entries(file.services).filter(([, { profiles }]) => profiles === undefined);
  expect(free.map(([name]) => name)).toEqual(['mirror']);
  expect(free[0]?.[1].depends_on.size).toBe(0);
});

test('Redis is used by the nodes, and by the mirror that is told to', () => {
  const said = (variables?: Readonly<Record<string, string>>) =>
    Object.entries(readComposeFile(variables).services).flatMap(([name, { environment }]) => {
      const redis = environment['CISTERN_LRU_REDIS'];
      return redis === undefined ? [] : [[name, redis]];
    });
  const ofNodes = nodes.map(name => [name, inRedis.CISTERN_LRU_REDIS]);
  expect(said()).toEqual([['mirror', ''], ...ofNodes]);
  expect(said(inRedis)).toEqual([['mirror', inRedis.CISTERN_LRU_REDIS], ...ofNodes]);
  expect(said({ CISTERN_LRU_REDIS: 'redis://of.mine' })).toEqual([['mirror', 'redis://of.mine'], ...ofNodes]);
});

test('nodes wait until Redis is healthy, which it says itself', () => {
  for (const name of nodes)
    expect(file.services[name]?.depends_on.get('redis'), name).toBe('service_healthy');
  for (const { depends_on: others } of Object.values(file.services))
    for (const [name, condition] of others)
      if (condition === 'service_healthy') expect(file.services[name]?.healthcheck).toBeDefined();
});

describe.each(Object.entries(ways))('%s', (_, { profiles, names: named, variables, mirrors, beside }) => {
  const started = startedBy(readComposeFile(variables), profiles, named);

  test('starts exactly these', () => {
    expect([...started.keys()].sort()).toEqual([...mirrors, ...beside].sort());
    expect([...mirrorsAmong(started).keys()].sort()).toEqual([...mirrors].sort());
  });

  test('each has what it waits for, and each mirror builds its image or waits for one that does', () => {
    const awaited = [...started.values()].flatMap(({ depends_on: others }) => [...others.keys()]);
    expect(awaited.filter(name => !started.has(name))).toEqual([]);
    const built = [...mirrorsAmong(started)].filter(([, { build }]) => build === '.').map(([name]) => name);
    for (const [name, { depends_on: others }] of mirrorsAmong(started))
      if (!built.includes(name))
        expect(
          [...others.keys()].some(other => built.includes(other)),
          name,
        ).toBe(true);
  });

  test('no two share a port of the machine, a name, or a volume', () => {
    const services = [...started];
    const ports = services.flatMap(([, service]) =>
      service.ports.map(port => port.split(':').slice(-2, -1)[0]),
    );
    const names = services.flatMap(([name, { networks }]) => [
      name,
      ...(networks?.default?.aliases ?? []),
      ...(networks?.front?.aliases ?? []),
    ]);
    const volumes = services.flatMap(([, service]) =>
      service.volumes
        .filter(mount => !mount.endsWith(':ro'))
        .map(mount => mount.split(':')[0] ?? '')
        .filter(source => source in file.volumes),
    );
    for (const list of [ports, names, volumes]) expect(list).toEqual([...new Set(list)]);
  });

  test('configurations name servers that run', async () => {
    const named = [...mirrorsAmong(started).values()]
      .flatMap(({ environment }) => [
        environment['CISTERN_LRU_REDIS'],
        environment['CISTERN_FLEET_ADVERTISE'],
      ])
      .flatMap(url => (url ? [new URL(url).hostname] : []));
    expect(named.filter(name => !started.has(name))).toEqual([]);
    const { CISTERN_LRU_REDIS: redis } = variables ?? {};
    if (redis) expect(named).toContain('redis');
  });
});

test('every service is started by one of these', () => {
  const started = Object.values(ways).flatMap(({ profiles }) => [...startedBy(file, profiles).keys()]);
  expect([...new Set(started)].sort()).toEqual(Object.keys(file.services).sort());
});

describe.each([...mirrorsAmong(new Map(Object.entries(file.services)))])('%s', (name, service) => {
  test('has a configuration that this version takes, without unknown settings', async () => {
    const secret = join(await tempDir(), 'secret');
    await writeFile(secret, 'a secret for this test, as long as openssl rand -hex 32 makes it: 0123456789');
    const env = Object.fromEntries(
      Object.entries(service.environment).map(([variable, value]) => [
        variable,
        service.secrets.some(one => value === `/run/secrets/${one}`) ? secret : value,
      ]),
    );
    const { config, warnings } = await loadConfig({
      file: join(composeFolder, 'mirror.yml'),
      env: { ...env, CISTERN_STORE_PATH: '/data' },
      cwd: '/',
    });
    expect(warnings).toEqual([]);
    expect(config.store.path).toBe('/data');
    const mounts = service.volumes.map(mount => mount.split(':')[1]);
    expect(mounts).toEqual(['/app/mirror.yml', '/data']);
  });

  test('says of itself who it is', () => {
    const { CISTERN_FLEET_ADVERTISE: advertise } = service.environment;
    expect(advertise).toBe(service.profiles?.includes('fleet') ? `http://${name}:5000` : undefined);
    for (const port of service.ports) expect(port).toMatch(/^\d+:5000$/);
  });

  test('has nothing that it does not need', () => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    });
  });

  test('is scraped, under a name that it has', () => {
    expect(service.networks?.default?.aliases.filter(alias => scraped.names.includes(alias))).toHaveLength(1);
    expect(scraped.port).toBe(5000);
  });
});

test('Prometheus looks for no other host', () => {
  const aliases = Object.values(file.services).flatMap(({ networks }) => networks?.default?.aliases ?? []);
  expect(scraped.names.toSorted()).toEqual([...new Set(aliases)].sort());
});

test('mounts what is there, and uses every volume and secret that it defines', () => {
  const sources = Object.values(file.services).flatMap(({ volumes }) =>
    volumes.map(mount => mount.split(':')[0] ?? ''),
  );
  for (const source of sources)
    expect(
      source === './certs' || // the user's own
        (source.startsWith('./') ? existsSync(join(composeFolder, source)) : source in file.volumes),
      source,
    ).toBe(true);
  for (const volume of Object.keys(file.volumes)) expect(sources).toContain(volume);
  const secrets = Object.values(file.services).flatMap(service => service.secrets);
  expect([...new Set(secrets)]).toEqual(Object.keys(file.secrets));
  // A secret must not be committed by accident.
  for (const { file: path } of Object.values(file.secrets))
    expect(read('.gitignore').split('\n')).toContain(path.slice(2));
});

test('Redis keeps nothing on disk, drops no key by itself, listens to other services and has no port outside', () => {
  const { redis } = file.services;
  const settings = redis?.command?.join(' ');
  for (const setting of [
    '--save  ',
    '--appendonly no',
    '--maxmemory-policy noeviction',
    '--protected-mode no',
  ])
    expect(settings).toContain(setting);
  expect(redis?.ports).toEqual([]);
});

test("no container's log grows without end: at most 100 MB each", () => {
  for (const [name, { logging }] of Object.entries(file.services)) {
    const { 'max-size': size, 'max-file': files } = logging.options;
    expect(logging.driver, name).toBe('json-file');
    expect(size, name).toMatch(/^\d+m$/);
    expect(Number.parseInt(size, 10) * Number(files), name).toBeLessThanOrEqual(100);
  }
});

test('what has no login listens on this machine only', () => {
  for (const name of ['prometheus', 'grafana'])
    for (const port of file.services[name]?.ports ?? ['none']) expect(port).toMatch(/^127\.0\.0\.1:/);
});

test('a process that hangs is noticed: compose asks each mirror, systemd waits for its beats', () => {
  for (const name of ['mirror', ...nodes])
    expect([name, file.services[name]?.healthcheck?.test.join(' ')]).toEqual([
      name,
      expect.stringContaining('/healthz'),
    ]);
  const unit = read('deploy/cistern.service');
  expect(unit).toMatch(/^WatchdogSec=60s$/m);
  expect(unit).toMatch(/^NotifyAccess=all$/m);
});

test('nginx has the address that the mirror is told to trust, and reads the store as its user', async () => {
  const { nginx, mirror } = readComposeFile(inFront).services;
  expect(nginx?.networks).toEqual({ front: { ipv4_address: inFront.CISTERN_HTTP_TRUSTED_PROXIES } });
  expect(file.networks['front']?.ipam.config).toEqual([{ subnet: '10.213.77.0/29' }]);
  expect(nginx?.user).toBe('1000:1000');
  expect(nginx?.volumes).toContain('data:/data:ro');
  const env = { ...mirror?.environment, CISTERN_STORE_PATH: '/data' };
  const { config } = await loadConfig({ file: join(composeFolder, 'mirror.yml'), env, cwd: '/' });
  expect(config.http.trustedProxies).toEqual([inFront.CISTERN_HTTP_TRUSTED_PROXIES]);
  expect(config.http.accel).toEqual({ header: 'X-Accel-Redirect', prefix: '/_blobs/' });
});

test('what nginx starts with is deploy/nginx-accel.conf with the names that it has in a container', () => {
  const { nginx, mirror } = file.services;
  const script = nginx?.command?.[2] ?? '';
  const site = join(composeFolder, 'deploy/nginx-accel.conf');
  const edit = script.slice(0, script.indexOf('>')).replace('/etc/nginx/nginx-accel.conf', `'${site}'`);
  const made = execFileSync('sh', ['-c', edit], { encoding: 'utf8' });
  const lines = made.split('\n').filter(line => !line.trim().startsWith('#'));
  const [server] = mirror?.networks?.front?.aliases ?? [];
  expect(lines).toEqual(
    expect.arrayContaining([
      `  server ${server}:5000;`,
      '  server_name _;',
      '  ssl_certificate     /certs/tls.pem;',
      '  ssl_certificate_key /certs/tls.key;',
      '    alias /data/blobs-v1/;',
    ]),
  );
  expect(lines.join('\n')).not.toMatch(/127\.0\.0\.1|example|\/var\/lib|\/etc/);
});
