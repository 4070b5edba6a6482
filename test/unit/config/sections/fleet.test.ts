import { afterEach, beforeEach, expect, it } from 'vitest';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

const redis = 'lru: { redis: "redis://localhost" }\n';
const long = 'a secret that is long enough';

it('without a fleet there is none', async () => {
  expect((await folder.load('fleet:\n')).config.fleet).toBeUndefined();
});

it('takes name, URL and secret', async () => {
  const { config, warnings } = await folder.load(
    `${redis}fleet: { name: lab, advertise: "http://10.0.0.5:5000/", secret: "${long}" }`,
  );
  expect(config.fleet).toEqual({ name: 'lab', advertise: 'http://10.0.0.5:5000', secret: long });
  expect(warnings).toEqual([]);
});

it('reads the secret from a file, which the environment may name', async () => {
  await folder.write('fleet.secret', `${long}\n`);
  const text = `${redis}fleet: { name: lab, advertise: "http://a:1", secret: x }`;
  const { config } = await folder.load(text, { CISTERN_FLEET_SECRET_FILE: 'fleet.secret' });
  expect(config.fleet?.secret).toBe(long);
});

it('warns about a secret that can be guessed, without showing it', async () => {
  const { warnings } = await folder.load(
    `${redis}fleet: { name: lab, advertise: "http://a:1", secret: s4815 }`,
  );
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^mirror\.yml:2:54: fleet\.secret: warning: shorter than 16 characters/);
  expect(warnings[0]).not.toContain('4815');
});

it.each([
  ['fleet: { name: lab }', 'needs fleet.advertise'],
  ['fleet: { name: lab }', 'needs fleet.secret or fleet.secret_file: without'],
  ['fleet: { secret: s }', 'needs fleet.name'],
  ['fleet: { name: lab, secret: s, secret_file: f }', 'give either secret or secret_file, not both'],
  ['fleet: { name: Lab }', "fleet.name: expected a name of lower-case letters, digits, '.', '_' and '-'"],
  ['fleet: { name: "a}b" }', 'fleet.name: expected a name'],
  ['fleet: { advertise: "10.0.0.5:5000" }', 'fleet.advertise: expected a URL with http:// or https://'],
  ['fleet: { advertise: "http://u:p@a" }', 'fleet.advertise: expected a URL without user and password'],
  ['fleet: { secret_file: missing }', 'fleet.secret_file: missing: no such file'],
  ['fleet: { hosted_on: node1 }', 'fleet.hosted_on: hosted content in a fleet needs a bucket, which comes'],
])('%j is refused: %s', async (text, problem) => {
  expect((await folder.problems(redis + text)).join('\n')).toContain(problem);
});

it('needs a Redis to meet in', async () => {
  const problems = await folder.problems(`fleet: { name: lab, advertise: "http://a:1", secret: "${long}" }`);
  expect(problems).toEqual([
    'mirror.yml:1:10: fleet.name: needs lru.redis: the nodes of a fleet meet in Redis',
  ]);
});
