#!/usr/bin/env node
/**
 * Builds `dist` from `src` and writes down the commit that it was built from. With --if-needed (`prepare`, and before a
 * start) only where `dist` is missing or older than `src`. An installed package has no `src`: its `dist` is complete.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = join(root, 'dist', 'build.json');
const compiler = join('node_modules', 'typescript', 'bin', 'tsc');

/** Why `dist` can't be run as it is; undefined: it can. */
function findFault() {
  if (!existsSync(stamp)) return 'dist is not built';
  const builtMs = statSync(stamp).mtimeMs;
  const isNewer = path => existsSync(path) && statSync(path).mtimeMs > builtMs;
  const sources = existsSync(join(root, 'src')) ? readdirSync(join(root, 'src'), { recursive: true }) : [];
  if (sources.length === 0) return undefined;
  const files = [join(root, 'package.json'), ...sources.map(name => join(root, 'src', name))];
  return files.some(isNewer) ? 'dist is older than src' : undefined;
}

/** Builds where that is needed. False: it is needed and not possible; one line on standard error says what to do. */
export function ensureBuilt() {
  const fault = findFault();
  if (fault === undefined) return true;
  if (existsSync(join(root, compiler))) return build();
  const isBuilt = buildForGlobal();
  if (isBuilt !== undefined) return isBuilt;
  process.stderr.write(`${fault}, and the compiler is not installed: run npm ci in ${root}\n`);
  return false;
}

/**
 * `npm i -g` of this folder or of a git URL runs `prepare` without the compiler: npm hands `--global` down to the installation
 * that should bring it, and goes on installing here meanwhile. So the build is made in a folder of its own.
 */
function buildForGlobal() {
  const { npm_config_global: isGlobal, npm_config_prefix: _prefix, npm_execpath: npm, ...env } = process.env;
  if (isGlobal !== 'true' || npm === undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'cistern-build-'));
  try {
    for (const name of ['package.json', 'package-lock.json', 'tsconfig.json', 'src'])
      cpSync(join(root, name), join(folder, name), { recursive: true });
    const words = ['ci', '--global=false', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'];
    const { status } = spawnSync(process.execPath, [npm, ...words], {
      cwd: folder,
      env,
      stdio: ['ignore', 2, 2],
    });
    return status === 0 && build(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `from`: the folder with the sources and the compiler. */
function build(from = root) {
  rmSync(stamp, { force: true }); // what a failed build leaves is not complete
  const words = [join(from, compiler), '-p', join(from, 'src'), '--outDir', join(root, 'dist')];
  const { status } = spawnSync(process.execPath, words, { stdio: ['ignore', 2, 2] });
  if (status !== 0) return false;
  writeFileSync(stamp, `${JSON.stringify({ commit: findCommit() })}\n`);
  return true;
}

/** `75658e6`, with `-dirty` for uncommitted changes. Null: not a checkout, and COMMIT isn't set. */
function findCommit() {
  if (process.env.COMMIT) return process.env.COMMIT;
  if (!existsSync(join(root, '.git'))) return null;
  try {
    const words = ['describe', '--always', '--dirty', '--exclude=*'];
    return execFileSync('git', words, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return null; // no git here, or a checkout of another user
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isDone = process.argv.includes('--if-needed') ? ensureBuilt() : build();
  process.exitCode = isDone ? 0 : 1;
}
