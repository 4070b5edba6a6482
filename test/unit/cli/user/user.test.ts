/** `cistern user`: what it writes, keeps and refuses. */
import { chmod, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { HtpasswdUsers, parseHtpasswd } from '../../../../src/auth/identity/htpasswd.ts';
import { runCheck } from '../../../../src/cli/check.ts';
import { runUserAdd, runUserList, runUserRemove } from '../../../../src/cli/user/user.ts';
import { tempDir } from '../../../support/temp-dir.ts';

async function folder(config = 'access: { htpasswd: users }\n') {
  const cwd = await tempDir();
  await writeFile(join(cwd, 'mirror.yml'), config);
  let written = '';
  const write = (text: string) => {
    written += text;
  };
  const options = { cwd, env: {}, write };
  const file = join(cwd, 'users');
  return {
    cwd,
    file,
    options,
    add: (name: string, password: string) =>
      runUserAdd({ ...options, name, readPassword: async () => password }),
    login: async (name: string, password: string) => {
      const users = new HtpasswdUsers({ load: async () => parseHtpasswd(await readFile(file, 'utf8')) });
      return users.check({ name, password }, '');
    },
    take: () => {
      const text = written;
      written = '';
      return text;
    },
  };
}

test('add makes the file, changes a password in it, and keeps every other line', async () => {
  const { add, login, file, cwd, take } = await folder();
  expect(await add('jo', 'one')).toBe(0);
  expect(take()).toBe(`added jo to ${file}\n`);
  expect(((await stat(file)).mode & 0o777).toString(8)).toBe('640');
  expect(await readFile(file, 'utf8')).toMatch(/^jo:\$2y\$10\$.{53}\n$/);
  await writeFile(file, `# ours\nold:{SHA}x\n${await readFile(file, 'utf8')}\n`);
  await chmod(file, 0o604);
  await add('jo', 'two');
  expect(take()).toContain('changed the password of jo');
  expect([await login('jo', 'two'), await login('jo', 'one')]).toEqual([{ user: 'jo', groups: [] }, 'wrong']);
  expect((await readFile(file, 'utf8')).split('\n').slice(0, 2)).toEqual(['# ours', 'old:{SHA}x']);
  expect(((await stat(file)).mode & 0o777).toString(8)).toBe('604');
  expect((await readdir(cwd)).sort()).toEqual(['mirror.yml', 'users']);
});

test('remove and list say what is there; lines that are not used are named by number, by check too', async () => {
  const { add, options, file, take } = await folder();
  await add('jo', 'one');
  await add('ann', 'two');
  await writeFile(file, `${await readFile(file, 'utf8')}dora:rqXexS6ZhobKA\nplain:password\n`);
  take();
  await runUserList(options);
  const list = take();
  expect(list).toContain('jo\tbcrypt\nann\tbcrypt\n');
  expect(list).toContain(`${file}:3: not used: a DES hash`);
  expect(list).not.toContain('rqXexS6ZhobKA');
  await runUserList({ ...options, json: true });
  expect(JSON.parse(take())).toMatchObject({
    users: [
      { name: 'jo', hash: 'bcrypt' },
      { name: 'ann', hash: 'bcrypt' },
    ],
    flaws: [{ line: 3 }, { line: 4 }],
  });
  await runCheck(options);
  expect(take()).toContain(`access.htpasswd: warning: ${file}:4: not used: expected a password hash`);
  await runUserRemove({ ...options, name: 'jo' });
  expect(take()).toContain('removed jo');
  expect((await readFile(file, 'utf8')).startsWith('ann:')).toBe(true);
  await expect(runUserRemove({ ...options, name: 'jo' })).rejects.toThrow('no user of that name');
});

test('commands at the same time lose no user, and the lock of one that was killed ends', async () => {
  const { add, options, file, cwd } = await folder();
  await add('gone', 'x');
  const lock = join(cwd, '.users.lock');
  await writeFile(lock, '');
  await utimes(lock, 1, 1);
  const names = Array.from({ length: 12 }, (_, n) => `user${n}`);
  await Promise.all([...names.map(name => add(name, 'x')), runUserRemove({ ...options, name: 'gone' })]);
  const { hashes } = await parseHtpasswd(await readFile(file, 'utf8'));
  expect([...hashes.keys()].sort()).toEqual(names.sort());
  expect((await readdir(cwd)).sort()).toEqual(['mirror.yml', 'users']);
});

test('a link stays a link, and its target is replaced', async () => {
  const { add, cwd, file } = await folder();
  await writeFile(join(cwd, 'real'), '');
  await symlink(join(cwd, 'real'), file);
  await add('jo', 'one');
  expect(await readFile(join(cwd, 'real'), 'utf8')).toMatch(/^jo:/);
});

test.each(['a:b', 'a b', '', '@dev', 'anonymous', '*'])('the name %j is refused', async name => {
  const { add } = await folder();
  await expect(add(name, 'x')).rejects.toMatchObject({ code: 'NAME_INVALID' });
});

test('an empty password, one that bcrypt would cut, and a configuration without the file are refused', async () => {
  const { add } = await folder();
  await expect(add('jo', '')).rejects.toThrow('the password is empty');
  await expect(add('jo', 'x'.repeat(73))).rejects.toThrow('longer than 72 bytes');
  const { add: without } = await folder('tags: { ttl: 1m }\n');
  await expect(without('jo', 'x')).rejects.toThrow('there is no access section');
});
