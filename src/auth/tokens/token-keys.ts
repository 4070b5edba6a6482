/**
 * The keys of tokens: one signs, and the one before it is good for a day. A registry alone makes them and keeps them in its store, so that
 * tokens survive a restart. The nodes of a fleet derive theirs from the secret that they share, a new one each day.
 */
import { hkdfSync, randomBytes } from 'node:crypto';
import type { TokenKey } from './signed-token.ts';

export interface TokenKeys {
  /** The first one signs. */
  current(): Promise<readonly TokenKey[]>;
}

const dayMs = 86_400_000;
/** A key signs for so long. */
const signMs = 30 * dayMs;
const keyBytes = 32;

export interface DerivedKeysOptions {
  readonly secret: string;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Of today, of yesterday, and of tomorrow for nodes whose clocks are ahead. */
export class DerivedTokenKeys implements TokenKeys {
  readonly #options: DerivedKeysOptions;
  #day = Number.NaN;
  #keys: readonly TokenKey[] = [];

  constructor(options: DerivedKeysOptions) {
    this.#options = options;
  }

  async current(): Promise<readonly TokenKey[]> {
    const { secret, now } = this.#options;
    const day = Math.floor(now() / dayMs);
    if (day !== this.#day) {
      this.#keys = [day, day - 1, day + 1].map(one => ({
        id: `day-${one}`,
        secret: Buffer.from(hkdfSync('sha256', secret, '', `cistern tokens, day ${one}`, keyBytes)),
      }));
      this.#day = day;
    }
    return this.#keys;
  }
}

interface StoredKey {
  readonly id: string;
  readonly secret: Buffer;
  readonly madeAtMs: number;
}

export interface StoredKeysOptions {
  /** A file that only the daemon can read. */
  readonly file: {
    /** Undefined: there is none. */
    read(): Promise<string | undefined>;
    write(text: string): Promise<void>;
  };
  /** The file can't be read or written: tokens end with the process. */
  onTrouble(error: unknown): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class StoredTokenKeys implements TokenKeys {
  readonly #options: StoredKeysOptions;
  #keys: readonly StoredKey[] | undefined;
  #changing: Promise<readonly StoredKey[]> | undefined;

  constructor(options: StoredKeysOptions) {
    this.#options = options;
  }

  async current(): Promise<readonly TokenKey[]> {
    const held = this.#keys;
    const nowMs = this.#options.now();
    const isDue = held?.[0] === undefined || nowMs - held[0].madeAtMs >= signMs;
    if (isDue) {
      this.#changing ??= this.#change().finally(() => {
        this.#changing = undefined;
      });
    }
    const keys = isDue ? await this.#changing : held;
    const [newest, ...older] = keys ?? [];
    if (newest === undefined) return [];
    return nowMs - newest.madeAtMs < dayMs ? [newest, ...older.slice(0, 1)] : [newest];
  }

  async #change(): Promise<readonly StoredKey[]> {
    const { file, onTrouble, now } = this.#options;
    const nowMs = now();
    let held = this.#keys;
    try {
      held ??= parseKeys(await file.read());
    } catch (error) {
      onTrouble(error);
    }
    const [newest] = held ?? [];
    this.#keys = held ?? [];
    if (newest !== undefined && nowMs - newest.madeAtMs < signMs) return this.#keys;
    const made = { id: randomBytes(8).toString('hex'), secret: randomBytes(keyBytes), madeAtMs: nowMs };
    this.#keys = [made, ...(newest === undefined ? [] : [newest])];
    await file.write(formatKeys(this.#keys)).catch(onTrouble);
    return this.#keys;
  }
}

function formatKeys(keys: readonly StoredKey[]): string {
  const rows = keys.map(({ id, secret, madeAtMs }) => ({
    id,
    secret: secret.toString('base64url'),
    madeAtMs,
  }));
  return `${JSON.stringify({ version: 1, keys: rows })}\n`;
}

/** Newest first. A damaged file has none: new keys cost each client one more question for a token. */
function parseKeys(text: string | undefined): readonly StoredKey[] {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    return [];
  }
  const rows: unknown =
    typeof value === 'object' && value !== null && 'keys' in value ? value.keys : undefined;
  if (!Array.isArray(rows)) return [];
  return rows.flatMap((row: Readonly<Record<string, unknown>> | null) => {
    const { id, secret, madeAtMs } = row ?? {};
    if (typeof id !== 'string' || typeof secret !== 'string' || typeof madeAtMs !== 'number') return [];
    const bytes = Buffer.from(secret, 'base64url');
    return bytes.length === keyBytes ? [{ id, secret: bytes, madeAtMs }] : [];
  });
}
