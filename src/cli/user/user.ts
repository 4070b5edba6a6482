/**
 * `cistern user add|remove|list`: edits the htpasswd file that the configuration names. The file is replaced as a whole, so a running daemon
 * reads the old or the new one, other lines stay as they are, and commands at the same time take turns. Passwords are hashed with bcrypt.
 */
import { randomBytes } from 'node:crypto';
import { chown, open, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseHtpasswd } from '../../auth/identity/htpasswd.ts';
import { hashPassword } from '../../auth/identity/password-hash.ts';
import { type LoadOptions, loadConfig } from '../../config/load.ts';
import { valueAt } from '../../config/problem.ts';
import { isMissing } from '../../store/store-error.ts';
import { CommandError } from '../command-line.ts';

export interface UserCommand extends LoadOptions {
  readonly write: (text: string) => void;
}

export interface AddUser extends UserCommand {
  readonly name: string;
  /** Errors: `CommandError` when two that were typed differ. */
  readPassword(): Promise<string>;
}

/** bcrypt reads no further, and would take every password that begins so. */
const maxPasswordBytes = 72;
const namePattern = /^[^:\s\p{Cc}]{1,255}$/u;

/** Resolves with the exit code. Errors: `CommandError`, `ConfigError`. */
export async function runUserAdd({ name, readPassword, write, ...options }: AddUser): Promise<number> {
  if (!namePattern.test(name) || name.startsWith('@') || name === 'anonymous' || name === '*')
    throw new CommandError(
      'a user name has no colon, no blank, and is neither "*", "anonymous" nor begins with "@"',
      'NAME_INVALID',
    );
  const path = await htpasswdPath(options);
  const password = await readPassword();
  if (password === '') throw new CommandError('the password is empty');
  if (Buffer.byteLength(password) > maxPasswordBytes)
    throw new CommandError(
      `the password is longer than ${maxPasswordBytes} bytes, which bcrypt does not read`,
    );
  const line = `${name}:${await hashPassword(password)}`;
  const had = await edit(path, lines => [...lines.filter(one => nameOf(one) !== name), line]);
  const isNew = !had.some(one => nameOf(one) === name);
  write(isNew ? `added ${name} to ${path}\n` : `changed the password of ${name} in ${path}\n`);
  return 0;
}

/** Resolves with the exit code. Errors: `CommandError`, `ConfigError`. */
export async function runUserRemove({
  name,
  write,
  ...options
}: UserCommand & { readonly name: string }): Promise<number> {
  const path = await htpasswdPath(options);
  await edit(path, lines => {
    const kept = lines.filter(line => nameOf(line) !== name);
    if (kept.length === lines.length) throw new CommandError(`${path} has no user of that name`);
    return kept;
  });
  write(`removed ${name} from ${path}; tokens of that user end within access.token_ttl\n`);
  return 0;
}

/** Resolves with the exit code. Errors: `CommandError`, `ConfigError`. */
export async function runUserList({
  write,
  json = false,
  ...options
}: UserCommand & { readonly json?: boolean }): Promise<number> {
  const path = await htpasswdPath(options);
  const { hashes, flaws } = await parseHtpasswd((await readLines(path)).join('\n'));
  if (json) {
    const users = Array.from(hashes, ([name, { kind }]) => ({ name, hash: kind }));
    write(`${JSON.stringify({ file: path, users, flaws }, null, 2)}\n`);
    return 0;
  }
  for (const [name, { kind }] of hashes) write(`${name}\t${kind}\n`);
  for (const { line, message } of flaws) write(`${path}:${line}: not used: ${message}\n`);
  return 0;
}

/** The file need not be there yet, which is no use to the daemon: so the tree is read even where the configuration is refused for it. */
async function htpasswdPath(options: LoadOptions): Promise<string> {
  const { config, tree } = await loadConfig({ ...options, mayLackHtpasswd: true });
  if (config.access.htpasswd !== undefined)
    return realpath(config.access.htpasswd).catch(() => String(config.access.htpasswd));
  const why =
    valueAt(tree, ['access']) === undefined ? 'there is no access section' : 'access has no htpasswd';
  throw new CommandError(`${why}: name the file of users first, as access.htpasswd in the configuration`);
}

async function readLines(path: string): Promise<readonly string[]> {
  try {
    const text = await readFile(path, 'utf8');
    return text.split('\n').filter((line, index, all) => line !== '' || index < all.length - 1);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Resolves with the lines as they were. One command at a time: of two that edit at once none loses what the other did. */
async function edit(
  path: string,
  change: (lines: readonly string[]) => readonly string[],
): Promise<readonly string[]> {
  const lock = join(dirname(path), `.${basename(path)}.lock`);
  await take(lock);
  try {
    const lines = await readLines(path);
    await replace(path, change(lines));
    return lines;
  } finally {
    await unlink(lock).catch(() => undefined); // another command has taken it for a dead one's
  }
}

/** An edit takes milliseconds: a lock that is older is left from a command that was killed. */
const lockStaleMs = 5000;
const lockRetryMs = 20;
const lockPatienceMs = 15_000;

/** Errors: `CommandError` while others edit all the time; those of the file system. */
async function take(lock: string): Promise<void> {
  const giveUpAt = performance.now() + lockPatienceMs;
  while (performance.now() < giveUpAt) {
    try {
      const handle = await open(lock, 'wx', 0o600);
      return await handle.close();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const held = await stat(lock).catch(() => undefined);
    if (held !== undefined && Date.now() - held.mtimeMs > lockStaleMs)
      await unlink(lock).catch(() => undefined);
    else await delay(lockRetryMs);
  }
  throw new CommandError(`another command is changing the users: ${lock}`);
}

function nameOf(line: string): string | undefined {
  const text = line.trim();
  const colon = text.indexOf(':');
  return text.startsWith('#') || colon < 1 ? undefined : text.slice(0, colon);
}

/** With the mode and the owner of the file that was there, so that the daemon can still read it. */
async function replace(path: string, lines: readonly string[]): Promise<void> {
  const former = await stat(path).catch(() => undefined);
  const temp = join(dirname(path), `.htpasswd-${randomBytes(6).toString('hex')}`);
  const handle = await open(temp, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(lines.map(line => `${line}\n`).join(''));
      await handle.chmod(former === undefined ? 0o640 : former.mode & 0o777);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (former !== undefined && (former.uid !== process.getuid?.() || former.gid !== process.getgid?.()))
      await chown(temp, former.uid, former.gid);
    await rename(temp, path);
  } catch (error) {
    await unlink(temp).catch(() => undefined); // the first error is thrown
    throw error;
  }
}
