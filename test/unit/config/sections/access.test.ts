/** The `access` section, and the file that may change under it. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WatchedFile } from '../../../../src/config/watched-file.ts';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;
beforeEach(async () => {
  folder = await ConfigFolder.create();
  await folder.write('htpasswd', '');
});
afterEach(() => folder.remove());

describe('access', () => {
  it('is read with its defaults', async () => {
    const { config } = await folder.load(
      'access:\n  htpasswd: htpasswd\n  rules:\n    - { repositories: ["docker.io/**"], users: [anonymous] }\n    - { repositories: ["localhost:5000/team/*"], users: [alice, "*"], from: [10.0.0.0/8], actions: [pull, push, delete] }\n',
    );
    expect(config.access).toEqual({
      htpasswd: join(folder.path, 'htpasswd'),
      tokenTtlMs: 300_000,
      rules: [
        { repositories: ['docker.io/**'], users: ['anonymous'], from: [], actions: ['pull'] },
        {
          repositories: ['localhost:5000/team/*'],
          users: ['alice', '*'],
          from: ['10.0.0.0/8'],
          actions: ['pull', 'push', 'delete'],
        },
      ],
    });
  });

  it.each([
    ['htpasswd: nope', 'access.htpasswd: nope: no such file'],
    [
      'rules: [{ repositories: ["**"], users: [alice] }]',
      'needs access.htpasswd or access.ldap: without them no user can log in',
    ],
    [
      'htpasswd: htpasswd, rules: [{ repositories: ["**"], users: ["@team"] }]',
      'needs access.ldap.groups: without it no user is in a group',
    ],
    ['rules: [{ repositories: ["**"], users: ["@"] }]', 'expected a user name'],
    ['rules: [{ repositories: ["**"], users: ["a:b"] }]', 'expected a user name'],
    ['rules: [{ repositories: ["**"], users: [] }]', 'expected at least one entry'],
    ['rules: [{ users: [anonymous] }]', 'access.rules'],
    [
      'rules: [{ repositories: ["/x"], users: [anonymous] }]',
      'expected a pattern over repositories with their host',
    ],
    ['rules: [{ repositories: ["**"], users: [anonymous], from: [x] }]', 'expected an IP address or a block'],
    ['rules: [{ repositories: ["**"], users: [anonymous], actions: [pul] }]', 'did you mean pull'],
    ['rules: [{ repositories: ["**"], users: [anonymous], action: [pull] }]', 'did you mean actions'],
  ])('with %s stops the start', async (text, problem) => {
    expect((await folder.problems(`access: { ${text} }\n`)).join('\n')).toContain(problem);
  });
});

describe('a watched file', () => {
  function watch() {
    const path = join(folder.path, 'htpasswd');
    const clock = { ms: 0 };
    const troubles: unknown[] = [];
    const parsed: string[] = [];
    const file = new WatchedFile({
      path,
      now: () => clock.ms,
      onTrouble: error => troubles.push(error),
      parse: text => {
        parsed.push(text);
        return text;
      },
    });
    return { path, clock, troubles, parsed, file };
  }

  it('is read again when it has changed, looked at once a second', async () => {
    const { path, clock, parsed, file } = watch();
    await writeFile(path, 'one');
    expect(await file.current()).toBe('one');
    await writeFile(path, 'other');
    expect(await file.current()).toBe('one');
    clock.ms += 1000;
    expect(await file.current()).toBe('other');
    clock.ms += 1000;
    expect(await file.current()).toBe('other');
    expect(parsed).toEqual(['one', 'other']);
  });

  it('counts as it was while it is away, and says so once', async () => {
    const { path, clock, troubles, file } = watch();
    await writeFile(path, 'one');
    await file.current();
    await rm(path);
    for (let n = 0; n < 3; n += 1) {
      clock.ms += 1000;
      expect(await file.current()).toBe('one');
    }
    expect(troubles.length).toBe(1);
    await writeFile(path, 'back');
    clock.ms += 1000;
    expect(await file.current()).toBe('back');
  });

  it('that could never be read is an error each time', async () => {
    const { path, file } = watch();
    await rm(path);
    for (const _time of [1, 2]) await expect(file.current()).rejects.toThrow(path);
  });
});
