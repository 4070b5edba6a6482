/**
 * The password hashes that a line of htpasswd may hold, each with a bounded cost: bcrypt, `$apr1$`, `$1$`, `{SHA}`, `$5$` and `$6$`. DES and
 * plain text are refused: the first tells eight characters of a password within minutes, the second all.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { md5Crypt, shaCrypt } from './unix-crypt.ts';

export interface PasswordHash {
  /** As in the file: changes with the password. */
  readonly text: string;
  readonly kind: 'bcrypt' | 'md5' | 'sha1' | 'sha256' | 'sha512';
}

/** Each step doubles the work: with 17 one login would take half a minute. */
const maxBcryptCost = 16;
const maxRounds = 100_000;
const defaultRounds = 5000;
/** Of sha-crypt's specification: fewer are raised to it. */
const minRounds = 1000;

/** Apache writes `$2y$` for the algorithm that other programs call `$2b$`. */
const bcryptPattern = /^\$2[aby]\$(\d{2})\$[./A-Za-z0-9]{53}$/;
const md5Pattern = /^(\$(?:apr1|1)\$)([^$:\s]{0,8})\$([./A-Za-z0-9]{22})$/;
const sha1Pattern = /^\{SHA\}([A-Za-z0-9+/]{27}=)$/;
const shaCryptPattern =
  /^\$([56])\$(?:rounds=(\d{1,9})\$)?([^$:\s]{0,16})\$([./A-Za-z0-9]{43}|[./A-Za-z0-9]{86})$/;
const desPattern = /^[./A-Za-z0-9]{13}$/;

/** The hash, or why it can't be used, in words that repeat nothing of it. */
export function parsePasswordHash(text: string): PasswordHash | string {
  const [, cost] = bcryptPattern.exec(text) ?? [];
  if (cost !== undefined) {
    if (Number(cost) <= maxBcryptCost) return { text, kind: 'bcrypt' };
    return `expected a bcrypt cost of at most ${maxBcryptCost}, got more`;
  }
  if (md5Pattern.test(text)) return { text, kind: 'md5' };
  if (sha1Pattern.test(text)) return { text, kind: 'sha1' };
  const [, digit, rounds, , digest = ''] = shaCryptPattern.exec(text) ?? [];
  if (digit !== undefined && digest.length === (digit === '5' ? 43 : 86)) {
    if (Number(rounds ?? 0) <= maxRounds) return { text, kind: digit === '5' ? 'sha256' : 'sha512' };
    return `expected at most ${maxRounds} rounds, got more`;
  }
  if (desPattern.test(text))
    return 'a DES hash or a plain password is not safe enough; write a bcrypt hash (htpasswd -B)';
  return 'expected a password hash as htpasswd writes it (-B: bcrypt), got plain text or something else';
}

/** Whether it is the hash of that password. */
export async function isPasswordOf(hash: PasswordHash, password: string): Promise<boolean> {
  if (hash.kind === 'bcrypt') {
    const { compare } = await import('bcrypt');
    return compare(password, hash.text.replace(/^\$2y/, '$2b')); // the library answers false for Apache's spelling
  }
  const computed = await computeLike(hash, password);
  return isSame(computed, hash.text);
}

/** What new passwords are hashed with. */
const newCost = 10;

/** A new bcrypt hash, in Apache's spelling, so that its tools read it too. */
export async function hashPassword(password: string): Promise<string> {
  const { hash } = await import('bcrypt');
  return (await hash(password, newCost)).replace(/^\$2b/, '$2y');
}

/** The hash of another password with the salt and the cost of that one. */
async function computeLike({ text, kind }: PasswordHash, password: string): Promise<string> {
  if (kind === 'sha1') return `{SHA}${createHash('sha1').update(password, 'utf8').digest('base64')}`;
  if (kind === 'md5') {
    const [, magic = '', salt = ''] = md5Pattern.exec(text) ?? [];
    return `${magic}${salt}$${await md5Crypt(password, magic, salt)}`;
  }
  const [, , given, salt = '', digest = ''] = shaCryptPattern.exec(text) ?? [];
  const rounds = given === undefined ? defaultRounds : Math.max(minRounds, Number(given));
  const head = text.slice(0, text.length - digest.length);
  return head + (await shaCrypt(password, kind === 'sha256' ? 'sha256' : 'sha512', salt, rounds));
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
