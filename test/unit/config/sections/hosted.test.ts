/** The `hosted` section: what its keys become, and which patterns and combinations are mistakes. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

it('its keys become what the daemon works with', async () => {
  const text = `
hosted:
  repositories: ["team/**", tools]
  immutable: ["team/**:v*", "tools:Stable"]
  quotas: [{ repositories: ["team/a/**"], max_size: 5GB }, { repositories: ["**"], max_tags: 100 }]
  retention:
    - { repositories: ["team/**"], tags: ["PR-*"], keep: { newest: 3, pushed_within: 7d } }
    - { keep: { pulled_within: 90d } }
  read_only: "moving to a new disk"
  upload_ttl: 1h
  gc_grace: 2h
  undelete: 3h
  untagged_ttl: 0
  max_size: 1TB
`;
  const day = 86_400_000;
  expect((await folder.load(text)).config.hosted).toEqual({
    repositories: ['team/**', 'tools'],
    immutable: ['team/**:v*', 'tools:Stable'],
    quotas: [
      { repositories: ['team/a/**'], maxBytes: 5e9 },
      { repositories: ['**'], maxTags: 100 },
    ],
    retention: [
      { repositories: ['team/**'], tags: ['PR-*'], keep: { newest: 3, pushedWithinMs: 7 * day } },
      { repositories: ['**'], tags: ['*'], keep: { pulledWithinMs: 90 * day } },
    ],
    readOnly: 'moving to a new disk',
    uploadTtlMs: 3_600_000,
    gcGraceMs: 7_200_000,
    undeleteMs: 10_800_000,
    untaggedTtlMs: 0,
    maxBytes: 1e12,
  });
});

it('comes from the environment too', async () => {
  const env = { CISTERN_HOSTED_REPOSITORIES: 'team/**,tools', CISTERN_HOSTED_READ_ONLY: 'true' };
  const { hosted } = (await folder.load(undefined, env)).config;
  expect([hosted.repositories, hosted.readOnly]).toEqual([['team/**', 'tools'], true]);
});

const hosts = 'a first segment with a dot or a colon, or localhost, belongs to an upstream';

it.each([
  'docker.io/**',
  'ghcr.io/team/app',
  'localhost/**',
  'localhost:5000/**',
  'registry:5000/x',
  '*.lan/**',
  'team.*/x',
  'my.app',
])('a pattern that could only match names of upstreams is a mistake: %s', async pattern => {
  for (const [key, path] of [
    [`repositories: ["${pattern}"]`, 'repositories[0]'],
    [`quotas: [{ repositories: ["${pattern}"], max_tags: 1 }]`, 'quotas[0].repositories[0]'],
    [`retention: [{ repositories: ["${pattern}"], keep: { newest: 1 } }]`, 'retention[0].repositories[0]'],
  ]) {
    expect((await folder.problems(`hosted: { ${key} }`)).join()).toContain(
      `hosted.${path}: "${pattern}" matches no hosted repository: ${hosts}`,
    );
  }
});

it.each(['**', '*', '*/x', 'team/*.lan', 'team/v1.2/**', '**.lan', 'local*/x', 'localhost**', 'a**.b/c'])(
  'a pattern that also matches other names is fine: %s',
  async pattern => {
    const { config } = await folder.load(`hosted: { repositories: ["${pattern}"] }`);
    expect(config.hosted.repositories).toEqual([pattern]);
  },
);

it.each([
  ['repositories: ["Team/**"]', 'hosted.repositories[0]: expected a pattern over repositories'],
  ['repositories: "team/**"', 'hosted.repositories: expected a list'],
  ['immutable: ["team/**"]', 'hosted.immutable[0]: expected a pattern over repository and tag'],
  ['immutable: ["ghcr.io/x:v*"]', 'hosted.immutable[0]: "ghcr.io/x" matches no hosted repository'],
  ['immutable: ["team/**:a:b"]', 'hosted.immutable[0]: expected a pattern over repository and tag'],
  ['quotas: [{ repositories: ["**"] }]', 'hosted.quotas[0]: needs max_size or max_tags'],
  ['quotas: [{ max_tags: 1 }]', 'hosted.quotas[0].repositories: expected a list'],
  ['quotas: [{ repositories: ["**"], max_tags: 0 }]', 'hosted.quotas[0].max_tags: expected at least 1'],
  ['retention: [{ tags: ["*"] }]', 'hosted.retention[0].keep: expected a section with keys'],
  ['retention: [{ keep: {} }]', 'hosted.retention[0].keep: needs newest, pushed_within or pulled_within'],
  [
    'retention: [{ keep: { newst: 1 } }]',
    'hosted.retention[0].keep.newst: unknown key, did you mean newest?',
  ],
  ['read_only: ""', 'hosted.read_only: expected true, false or a message of one line'],
  ['upload_ttl: 5', 'hosted.upload_ttl: expected a duration'],
])('{ %s } is refused: %s', async (text, problem) => {
  expect((await folder.problems(`hosted: { ${text} }`)).join('\n')).toContain(problem);
});

it('does not go together with a fleet', async () => {
  await folder.write('s', 'a secret that is long enough');
  const fleet =
    'lru: { redis: "redis://localhost" }\nfleet: { name: lab, advertise: "http://a:1", secret_file: s }\n';
  expect(await folder.problems(`${fleet}hosted: { repositories: ["team/**"] }\n`)).toEqual([
    'mirror.yml:3:11: hosted.repositories: cannot be used together with fleet: hosted content in a fleet needs a bucket, which comes later',
  ]);
  expect((await folder.load(`${fleet}hosted: { repositories: [] }\n`)).config.fleet?.name).toBe('lab');
});

it('makes a mirror of no upstreams possible', async () => {
  const { config } = await folder.load('upstreams: {}\nhosted: { repositories: ["**"] }\n');
  expect([config.upstreams.size, config.defaultUpstream]).toEqual([0, undefined]);
  expect(
    await folder.problems('upstreams: {}\ndefault_upstream: ghcr.io\nhosted: { repositories: ["**"] }\n'),
  ).toEqual(['mirror.yml:2:19: default_upstream: there are no upstreams']);
  expect((await folder.load('hosted: { repositories: ["**"] }\n')).config.defaultUpstream).toBe('docker.io');
});

it('takes admin as an action of rules', async () => {
  const text =
    'access: { rules: [{ repositories: ["team/**"], users: [anonymous], actions: [pull, push, delete, admin] }] }';
  expect((await folder.load(text)).config.access.rules?.[0]?.actions).toEqual([
    'pull',
    'push',
    'delete',
    'admin',
  ]);
});
