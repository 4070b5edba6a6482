/**
 * The password hashes of crypt(3) that htpasswd files hold and Node does not compute: md5-crypt (`$1$`, `$apr1$`) and sha-crypt (`$5$`,
 * `$6$`). A thousand rounds and more run in slices of a fraction of a millisecond, so requests go on in between.
 */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Some 0.3 ms. */
const roundsPerSlice = 100;
const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

type Algorithm = 'md5' | 'sha256' | 'sha512';

/** Without a copy of the parts. */
function hashOf(algorithm: Algorithm, parts: readonly Uint8Array[]): Buffer {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Least significant six bits first, as crypt(3) writes numbers. */
function encode(value: number, characters: number): string {
  let text = '';
  for (let left = characters, rest = value; left > 0; left -= 1, rest >>>= 6)
    text += alphabet[rest & 63] ?? '';
  return text;
}

/** Bytes of a digest by threes, in the order that its kind of hash gives. */
function encodeDigest(digest: Uint8Array, order: readonly (readonly [number, number, number])[]): string {
  const at = (index: number): number => digest[index] ?? 0;
  return order
    .map(([high, middle, low]) => encode((at(high) << 16) | (at(middle) << 8) | at(low), 4))
    .join('');
}

/** `length` bytes of `block`, over and over. */
function stretch(block: Uint8Array, length: number): Buffer {
  return Buffer.alloc(length, block);
}

const md5Order = [
  [0, 6, 12],
  [1, 7, 13],
  [2, 8, 14],
  [3, 9, 15],
  [4, 10, 5],
] as const;
const md5Rounds = 1000;

/** The last part of the hash, after the salt. `magic`: `$1$` or `$apr1$`. */
export async function md5Crypt(password: string, magic: string, salt: string): Promise<string> {
  const key = Buffer.from(password, 'utf8');
  const salted = Buffer.from(salt, 'latin1');
  const mixed = hashOf('md5', [key, salted, key]);
  const bits: Buffer[] = [];
  const [zero, first] = [Buffer.alloc(1), key.subarray(0, 1)];
  for (let length = key.length; length > 0; length >>>= 1) bits.push(length & 1 ? zero : first);
  const start = [key, Buffer.from(magic, 'latin1'), salted, stretch(mixed, key.length), ...bits];
  let digest = hashOf('md5', start);
  for (let round = 0; round < md5Rounds; round += 1) {
    if (round % roundsPerSlice === 0) await nextTurn();
    const isOdd = (round & 1) === 1;
    const parts = [isOdd ? key : digest];
    if (round % 3 !== 0) parts.push(salted);
    if (round % 7 !== 0) parts.push(key);
    parts.push(isOdd ? digest : key);
    digest = hashOf('md5', parts);
  }
  return encodeDigest(digest, md5Order) + encode(digest[11] ?? 0, 2);
}

const sha256Order = rotatedThrees(10, [0, 10, 20], ([a, b, c]) => [c + 1, a + 1, b + 1]);
const sha512Order = rotatedThrees(21, [0, 21, 42], ([a, b, c]) => [b + 1, c + 1, a + 1]);

type Three = readonly [number, number, number];

function rotatedThrees(count: number, first: Three, next: (three: Three) => Three): readonly Three[] {
  const threes = [first];
  for (let three = first; threes.length < count; threes.push(three)) three = next(three);
  return threes;
}

/** As `md5Crypt`. `rounds`: within the bounds of the specification. */
export async function shaCrypt(
  password: string,
  algorithm: 'sha256' | 'sha512',
  salt: string,
  rounds: number,
): Promise<string> {
  const key = Buffer.from(password, 'utf8');
  const salted = Buffer.from(salt, 'latin1');
  const mixed = hashOf(algorithm, [key, salted, key]);
  const bits: Buffer[] = [];
  for (let length = key.length; length > 0; length >>>= 1) bits.push(length & 1 ? mixed : key);
  let digest = hashOf(algorithm, [key, salted, stretch(mixed, key.length), ...bits]);
  const keys = stretch(repeated(algorithm, key, key.length), key.length);
  const salts = stretch(repeated(algorithm, salted, 16 + (digest[0] ?? 0)), salted.length);
  for (let round = 0; round < rounds; round += 1) {
    if (round % roundsPerSlice === 0) await nextTurn();
    const isOdd = (round & 1) === 1;
    const parts = [isOdd ? keys : digest];
    if (round % 3 !== 0) parts.push(salts);
    if (round % 7 !== 0) parts.push(keys);
    parts.push(isOdd ? digest : keys);
    digest = hashOf(algorithm, parts);
  }
  if (algorithm === 'sha512') return encodeDigest(digest, sha512Order) + encode(digest[63] ?? 0, 2);
  return encodeDigest(digest, sha256Order) + encode(((digest[31] ?? 0) << 8) | (digest[30] ?? 0), 3);
}

/** The digest of so many copies of `block`. */
function repeated(algorithm: Algorithm, block: Uint8Array, times: number): Buffer {
  const hash = createHash(algorithm);
  for (let count = 0; count < times; count += 1) hash.update(block);
  return hash.digest();
}
