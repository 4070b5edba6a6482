/** The npm package: what is in it, what it runs as, and what a build and a start do where something is missing. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { tempDir } from '../../support/temp-dir.ts';

const root = join(import.meta.dirname, '../../..');
const { scripts, files, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

describe('a checkout with a small source', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await tempDir();
    for (const name of [
      'package.json',
      'tsconfig.json',
      'deploy/build.sh',
      'deploy/build-page.js',
      'src/tsconfig.json',
    ])
      cpSync(join(root, name), join(folder, name), { recursive: true });
    writeFileSync(join(folder, 'src/main.ts'), "console.log('runs', process.argv.slice(2).join(' '));\n");
    mkdirSync(join(folder, 'src/ui'));
    writeFileSync(join(folder, 'src/ui/index.html'), '<script type="module" src="./page.ts"></script>\n');
    writeFileSync(join(folder, 'src/ui/page.ts'), "document.title = 'page';\n");
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  });

  test('start builds once, becomes the program in the same process, and passes options on', () => {
    expect(scripts.start).toBe('sh deploy/build.sh --if-needed && exec node dist/main.js serve');
    expect(start('--config', 'x')).toEqual({ code: 0, stdout: 'runs serve --config x\n', stderr: '' });
    writeFileSync(join(folder, 'dist/main.js'), "console.log('as it was');\n");
    expect(start().stdout).toBe('as it was\n');
    touch('src/main.ts');
    expect(start().stdout).toBe('runs serve\n');
  });

  test('start and prepare say in one line what is missing without the compiler', () => {
    expect(build().code).toBe(0);
    rmSync(join(folder, 'node_modules'));
    expect(start().stdout).toBe('runs serve\n');
    expect(build('--if-needed')).toEqual({ code: 0, stdout: '', stderr: '' });
    touch('src/main.ts');
    const stale = `dist is older than src, and the compiler is not installed: run npm ci in ${folder}\n`;
    expect(start()).toEqual({ code: 1, stdout: '', stderr: stale });
    expect(build('--if-needed')).toEqual({ code: 1, stdout: '', stderr: stale });
    rmSync(join(folder, 'dist'), { recursive: true });
    const missing = `dist is not built, and the compiler is not installed: run npm ci in ${folder}\n`;
    expect(start()).toEqual({ code: 1, stdout: '', stderr: missing });
  });

  test('an unpacked package has no sources, and needs no compiler', () => {
    expect(build().code).toBe(0);
    for (const name of ['src', 'node_modules', 'tsconfig.json'])
      rmSync(join(folder, name), { recursive: true });
    expect(build('--if-needed')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(start().stdout).toBe('runs serve\n');
  });

  test('a build that fails leaves nothing that counts as built', () => {
    writeFileSync(join(folder, 'src/main.ts'), 'const x: number = "";\n');
    expect(build().code).toBe(1);
    expect(start().code).toBe(1);
    writeFileSync(join(folder, 'src/main.ts'), "console.log('runs');\n");
    writeFileSync(join(folder, 'src/ui/page.ts'), "import './nosuch.ts';\n");
    expect(build().code).toBe(1);
    expect(start().code).toBe(1);
    writeFileSync(join(folder, 'src/ui/page.ts'), "document.title = 'page';\n");
    expect(start().stdout).toBe('runs\n');
  });

  test('a build of the page again gives the same bytes, and drops what is no longer part of it', () => {
    build();
    const page = readFolder(join(folder, 'dist/ui'));
    expect(page.size).toBe(6);
    writeFileSync(join(folder, 'dist/ui/assets/old.js'), '');
    build();
    expect(readFolder(join(folder, 'dist/ui'))).toEqual(page);
    for (const name of ['index.html', ...[...page.keys()].filter(path => path.endsWith('.js'))]) {
      const plain = page.get(name);
      expect(brotliDecompressSync(page.get(`${name}.br`) ?? '')).toEqual(plain);
      expect(gunzipSync(page.get(`${name}.gz`) ?? '')).toEqual(plain);
    }
  });

  test('a build writes the commit down, from git or from COMMIT', () => {
    const commit = () => JSON.parse(readFileSync(join(folder, 'dist/build.json'), 'utf8')).commit;
    build();
    expect(commit()).toBe(null);
    const git = (...words: string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=b', ...words], {
        cwd: folder,
        stdio: 'ignore',
      });
    writeFileSync(join(folder, '.gitignore'), 'dist\nnode_modules\n');
    git('init');
    git('add', '.');
    git('commit', '-m', 'x');
    build();
    expect(commit()).toMatch(/^[0-9a-f]{7,}$/);
    writeFileSync(join(folder, 'src/main.ts'), '\n');
    build();
    expect(commit()).toMatch(/^[0-9a-f]{7,}-dirty$/);
    execFileSync('sh', ['deploy/build.sh'], {
      cwd: folder,
      env: { ...process.env, COMMIT: 'abc' },
    });
    expect(commit()).toBe('abc');
  });

  test('npm pack takes dist and what prepare runs, and nothing of the sources', () => {
    expect({ files, bin, prepare: scripts.prepare }).toEqual({
      files: ['dist', 'deploy/build.sh'],
      bin: { cistern: 'dist/main.js' },
      prepare: 'sh deploy/build.sh --if-needed',
    });
    mkdirSync(join(folder, 'test'));
    writeFileSync(join(folder, 'test/x.test.ts'), '');
    writeFileSync(join(folder, '.gitignore'), 'dist/\n');
    build();
    const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [pack] = Object.values<{ files: { path: string }[] }>(JSON.parse(output));
    const hash = /-[\w-]{8}(?=\.js)/;
    expect(pack?.files.map(({ path }) => path.replace(hash, '-HASH')).sort()).toEqual([
      'deploy/build.sh',
      'dist/build.json',
      'dist/main.js',
      'dist/ui/assets/index-HASH.js',
      'dist/ui/assets/index-HASH.js.br',
      'dist/ui/assets/index-HASH.js.gz',
      'dist/ui/index.html',
      'dist/ui/index.html.br',
      'dist/ui/index.html.gz',
      'package.json',
    ]);
  });

  function readFolder(path: string): Map<string, Buffer> {
    const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
    const files = names.filter(name => statSync(join(path, name)).isFile());
    return new Map(files.map(name => [name, readFileSync(join(path, name))]));
  }

  /** As npm runs it: options go to the end of the line. */
  function start(...options: readonly string[]) {
    return run('-c', `${scripts.start} "$@"`, 'npm', ...options);
  }

  function build(...options: readonly string[]) {
    return run('deploy/build.sh', ...options);
  }

  function run(...words: readonly string[]) {
    const env = { ...process.env, COMMIT: '', npm_config_global: '' };
    const { status, stdout, stderr } = spawnSync('sh', words, { cwd: folder, encoding: 'utf8', env });
    return { code: status, stdout, stderr };
  }

  /** Newer than what is built. */
  function touch(name: string): void {
    const later = new Date(Date.now() + 2000);
    utimesSync(join(folder, name), later, later);
  }
});
