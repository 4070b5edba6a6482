import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

test('an entry needs a URL alone: the host is its name, and it hears of everything', async () => {
  await folder.write('ci.secret', 'hush\n');
  const { config } = await folder.load(`
notifications:
  - { url: "https://ci.lan:8443/hook?key=k#x" }
  - { name: audit, url: "http://[::1]:9000/", secret_file: ci.secret, events: [push], repositories: ["team/**"] }
log: { audit: audit.log }
`);
  expect(config.notifications).toEqual([
    {
      name: 'ci.lan:8443',
      url: new URL('https://ci.lan:8443/hook?key=k'),
      events: ['push', 'pull', 'delete'],
      repositories: [],
    },
    {
      name: 'audit',
      url: new URL('http://[::1]:9000/'),
      secret: 'hush',
      events: ['push'],
      repositories: ['team/**'],
    },
  ]);
  expect(config.log.audit).toBe(`${folder.path}/audit.log`);
  expect((await folder.load('log: { audit: stdout }\n')).config.log.audit).toBe('stdout');
  expect((await folder.load('')).config.log).not.toHaveProperty('audit');
});

test.each([
  ['[{ name: a }]', '1:17: notifications[0].url: expected a URL such as https://ci.lan/hooks/registry'],
  [
    '[{ url: "ftp://a" }]',
    '1:24: notifications[0].url: expected a URL such as https://ci.lan/hooks/registry',
  ],
  ['[{ url: "https://u:p@a/" }]', '1:24: notifications[0].url: expected a URL'],
  ['[{ url: "https://a/", events: [] }]', '1:46: notifications[0].events: expected at least one entry'],
  [
    '[{ url: "https://a/", events: [mount] }]',
    '1:47: notifications[0].events[0]: expected push, pull or delete',
  ],
  ['[{ url: "https://a/", name: A/B }]', '1:44: notifications[0].name: expected a name of lower-case'],
  ['[{ url: "https://a/x" }, { url: "https://a/y" }]', '1:41: notifications[1]: the same host as entry 1'],
  [
    '[{ url: "https://a/x" }, { name: a, url: "https://b/" }]',
    '1:49: notifications[1].name: entry 1 has the name a already',
  ],
  ['[{ url: "https://a/", secret_file: no }]', '1:51: notifications[0].secret_file: no: no such file'],
])('%s is refused', async (list, problem) => {
  const problems = await folder.problems(`notifications: ${list}\n`);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(problem);
  expect(problems[0]).not.toContain('u:p@');
});
