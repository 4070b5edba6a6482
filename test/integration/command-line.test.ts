/** The command line as users meet it: short names, orders, mistyped commands, help, completion, and starts that fail. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { spawnProcess } from '../support/process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { pull } from './commands-rig.ts';

/** Without a configuration: for commands that read none. */
async function run(...args: readonly string[]) {
  const child = spawnProcess(process.execPath, ['dist/main.js', ...args]);
  const { code } = await child.exited;
  return { code, output: child.output };
}

test('ls takes names as clients write them, and sorts; pin takes a short name', async () => {
  const upstream = await startFakeUpstream();
  const [small, large] = [buildImage({ layers: ['s'] }), buildImage({ layers: ['l', 'm', 'n'] })];
  upstream.put('library/busybox', small, '1.36');
  upstream.put('library/busybox', large, 'latest');
  upstream.put('team/app', small, 'v1');
  const mirror = await spawnTestMirror({ upstream });
  await pull(mirror, 'library/busybox@1.36', small);
  await pull(mirror, 'library/busybox', large);
  await pull(mirror, 'team/app@v1', small);

  const tagsOf = async (...args: string[]) => {
    const { images } = await runForJson(mirror.file, 'ls', ...args);
    return (Array.isArray(images) ? images : []).map(({ repository, tag }) => `${repository}:${tag}`);
  };
  const [first, second, third] = [
    'docker.io/library/busybox:1.36',
    'docker.io/library/busybox:latest',
    'docker.io/team/app:v1',
  ];
  expect(await tagsOf()).toEqual([first, second, third]);
  for (const pattern of ['busybox', 'busybox:*', 'docker.io/busybox', 'library/*'])
    expect([pattern, await tagsOf(pattern)]).toEqual([pattern, [first, second]]);
  expect(await tagsOf('busybox:1.*')).toEqual([first]);
  expect(await tagsOf('team/**')).toEqual([third]);
  expect((await tagsOf('--sort', 'size'))[0]).toBe(second);
  const { images: byUse } = await runForJson(mirror.file, 'ls', '--sort', 'used');
  const uses = (Array.isArray(byUse) ? byUse : []).map(({ lastUsedAt }) => String(lastUsedAt));
  expect(uses).toHaveLength(3);
  expect(uses).toEqual(uses.toSorted().toReversed());
  expect((await runCistern(mirror.file, 'pin', 'busybox')).stdout).toMatch(
    /^docker\.io\/library\/busybox:latest: pinned/,
  );
});

test('stats --watch goes on until its reader has gone, and over a daemon that ends', async () => {
  const upstream = await startFakeUpstream();
  const mirror = await spawnTestMirror({ upstream });
  const watch = spawnProcess(process.execPath, [
    ...['dist/main.js', 'stats', '--json', '--watch', '0.1', '--config', mirror.file],
  ]);
  const isReport = (line: string) => (line.startsWith('{') ? JSON.parse(line) : undefined);
  await expect.poll(() => watch.lines.filter(isReport).length).toBeGreaterThan(2);
  expect(isReport(watch.lines[0] ?? '').daemon.pid).toEqual(expect.any(Number));
  await mirror.process.stop();
  await watch.waitFor(line => isReport(line)?.daemon === null || undefined);
  watch.signal('SIGINT');
  expect(await watch.exited).toEqual({ code: 0, signal: null });

  const piped = spawn('sh', [
    ...['-c', '"$0" dist/main.js stats --watch 0.1 --config "$1" | head -n 1', process.execPath, mirror.file],
  ]);
  expect(await once(piped, 'exit')).toEqual([0, null]);
  const refused = await runCistern(mirror.file, 'stats', '--watch', 'often');
  expect(refused).toMatchObject({
    code: 2,
    stderr: 'error: expected --watch with a number of seconds from 0.1 to 86400\n',
  });
});

test.each([
  ['list', 'ls'],
  ['rm', 'evict'],
  ['stat', 'stats'],
  ['sevre', 'serve'],
  ['config', 'check'],
  ['setup', 'client'],
])('%s: did you mean %s', async (word, meant) => {
  expect(await run(word)).toEqual({
    code: 2,
    output: `error: unknown command '${word}', did you mean: cistern ${meant}\nTry: cistern --help`,
  });
});

test('a word like no command gets no suggestion', async () => {
  expect((await run('xyzzy')).output).toBe(`error: unknown command 'xyzzy'\nTry: cistern --help`);
});

test('--version has the commit that was built, and each help has examples', async () => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8'));
  const { commit } = JSON.parse(await readFile('dist/build.json', 'utf8'));
  expect(await run('--version')).toEqual({
    code: 0,
    output: commit === null ? version : `${version} (${commit})`,
  });
  for (const words of [[], ['ls'], ['client'], ['completion'], ['stats']]) {
    const { code, output } = await run(...words, '--help');
    expect(code).toBe(0);
    expect(output).toMatch(new RegExp(`\\nExamples:\\n(?: {2}.*cistern ?${words.join(' ')}.*(?:\\n|$))+`));
  }
});

test('completion prints a script for each shell, and reads no configuration', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, output } = await run('completion', shell);
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining('unpin') });
  }
  expect((await run('completion', 'tcsh')).code).toBe(2);
});

test('a port in use is one line on standard error with the process that has it, exit code 1', async () => {
  const upstream = await startFakeUpstream();
  const mirror = await spawnTestMirror({ upstream });
  const folder = await tempDir();
  const file = join(folder, 'mirror.yml');
  const { host } = new URL(mirror.url);
  await writeFile(file, `http: { listen: "${host}" }\nstore: { path: ${folder}/data }\n`);
  const { code, stdout, stderr } = await runCistern(file, 'serve');
  expect(code).toBe(1);
  expect(stderr).toMatch(
    new RegExp(
      `^http\\.listen: ${host.replaceAll('.', '\\.')} is in use by process \\d+ \\(.+\\); stop it, or choose another port\\n$`,
    ),
  );
  expect(stdout).not.toContain('stack');
  const own = await runCistern(mirror.file, 'check');
  expect(own.stdout).toMatch(/^the configuration is valid/); // the mirror that runs has its own port
});
