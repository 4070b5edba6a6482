/**
 * `/setup/docker.sh` run by a real sh in a temporary root, with python3 and with jq: what it adds, that a second run does nothing, and that
 * `--undo` takes back just that.
 */
import { execFile } from 'node:child_process';
import { access, chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type DockerScriptOptions, dockerScript } from '../../../../src/http/ui/docker-script.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const plain: DockerScriptOptions = {
  url: 'http://mirror.lan:5000',
  host: 'mirror.lan:5000',
  isPlainHttp: true,
  mirrorsHub: true,
  authority: undefined,
};
const own: DockerScriptOptions = {
  url: 'https://mirror.lan',
  host: 'mirror.lan',
  isPlainHttp: false,
  mirrorsHub: true,
  authority: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
};
const tools = ['python3', 'jq', 'neither'] as const;
/** What the script uses beside the tool. */
const commands = ['sh', 'cat', 'cp', 'mv', 'rm', 'rmdir', 'mkdir', 'dirname'];

interface Root {
  readonly file: string;
  readonly certificates: string;
  readonly restarts: string;
  run(options?: DockerScriptOptions, ...args: readonly string[]): Promise<{ code: number; out: string }>;
}

/** A PATH with that tool alone, and a systemctl that writes down what it is told. */
async function root(tool: (typeof tools)[number], text?: string): Promise<Root> {
  const folder = await tempDir();
  const bin = join(folder, 'bin');
  await mkdir(bin);
  for (const command of [...commands, ...(tool === 'neither' ? [] : [tool])])
    await symlink(await which(command), join(bin, command));
  const restarts = join(folder, 'restarts');
  await writeFile(join(bin, 'systemctl'), `#!/bin/sh\necho "$@" >> '${restarts}'\n`);
  await chmod(join(bin, 'systemctl'), 0o755);
  const file = join(folder, 'etc', 'docker', 'daemon.json');
  if (text !== undefined) {
    await mkdir(join(folder, 'etc', 'docker'), { recursive: true });
    await writeFile(file, text);
  }
  const certificates = join(folder, 'certs.d');
  const env = { PATH: bin, CISTERN_DAEMON_JSON: file, CISTERN_DOCKER_CERTS: certificates };
  const run: Root['run'] = async (options = plain, ...args) => {
    const script = join(folder, 'docker.sh');
    await writeFile(script, dockerScript(options));
    return promisify(execFile)(join(bin, 'sh'), ['-c', `exec sh -s -- "$@" < '${script}'`, 'sh', ...args], {
      env,
    }).then(
      ({ stdout, stderr }) => ({ code: 0, out: stdout + stderr }),
      ({ code, stdout, stderr }) => ({ code, out: `${stdout}${stderr}` }),
    );
  };
  return { file, certificates, restarts, run };
}

async function which(command: string): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, command);
    if (!folder.includes('shims') && (await isThere(path))) return path;
  }
  throw new Error(`expected ${command} to be installed`);
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

describe.each(['python3', 'jq'] as const)('with %s', tool => {
  test('it adds its entries beside what is there, once; --undo leaves the rest', async () => {
    const before = { 'log-driver': 'journald', 'registry-mirrors': ['https://other.lan'], ümlaut: 'ü' };
    const { file, run, restarts } = await root(tool, JSON.stringify(before));
    const first = await run();
    expect([first.code, first.out]).toEqual([0, expect.stringContaining('systemctl restart docker')]);
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({
      ...before,
      'registry-mirrors': ['https://other.lan', plain.url],
      'insecure-registries': [plain.host],
    });
    const text = await readFile(file, 'utf8');
    expect(await run()).toEqual({ code: 0, out: 'nothing to do\n' });
    expect(await readFile(file, 'utf8')).toBe(text);
    expect((await run(plain, '--undo')).code).toBe(0);
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(before);
    expect(await run(plain, '--undo')).toEqual({ code: 0, out: 'nothing to do\n' });
    expect(await isThere(restarts)).toBe(false);
  });

  test('without daemon.json it makes one, and --undo removes it', async () => {
    const { file, run } = await root(tool);
    await run();
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({
      'registry-mirrors': [plain.url],
      'insecure-registries': [plain.host],
    });
    await run(plain, '--undo');
    expect(await isThere(file)).toBe(false);
  });

  test('what was there before is not taken back', async () => {
    const { file, run } = await root(tool, JSON.stringify({ 'insecure-registries': [plain.host] }));
    await run();
    await run(plain, '--undo');
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ 'insecure-registries': [plain.host] });
  });

  test.each(['{"a": 1', '[]', '{"registry-mirrors": "no list"}'])('%s is not touched', async text => {
    const { file, run } = await root(tool, text);
    expect(await run()).toEqual({ code: 1, out: expect.stringContaining('was not changed') });
    expect(await readFile(file, 'utf8')).toBe(text);
  });

  test('dockerd is restarted only with --restart, and only after a change', async () => {
    const { run, restarts } = await root(tool, '{}');
    await run(plain, '--restart');
    await run(plain, '--restart');
    expect(await readFile(restarts, 'utf8')).toBe('restart docker\n');
  });
});

test('with neither python3 nor jq it says what belongs into the file, and changes nothing', async () => {
  const { file, run } = await root('neither', '{}');
  const { code, out } = await run();
  expect([code, out]).toEqual([1, expect.stringContaining(`"registry-mirrors": ["${plain.url}"]`)]);
  expect(await readFile(file, 'utf8')).toBe('{}');
});

test('an own authority is written where dockerd reads it, and taken back', async () => {
  const { certificates, run } = await root('python3', '{}');
  await run(own);
  const path = join(certificates, 'mirror.lan', 'ca.crt');
  expect(await readFile(path, 'utf8')).toBe(own.authority);
  expect((await run(own)).out).toBe('nothing to do\n');
  await run(own, '--undo');
  expect(await isThere(path)).toBe(false);
});

test('half a download does nothing, and an unknown argument is refused', async () => {
  const { file, run } = await root('python3', '{}');
  const text = dockerScript(plain);
  const script = text.slice(0, text.lastIndexOf('main "$@"'));
  await promisify(execFile)('sh', ['-c', script], {
    env: { PATH: process.env['PATH'], CISTERN_DAEMON_JSON: file },
  });
  expect(await readFile(file, 'utf8')).toBe('{}');
  expect(await run(plain, '--undoo')).toMatchObject({ code: 2 });
});

test('a text with a quote never gets into the script', () => {
  expect(() => dockerScript({ ...plain, host: "a'; reboot; '" })).toThrow(RangeError);
});
