/**
 * Why Redis cannot be used, in one sentence that a user can act on. Made of error codes and of what the server says; never
 * of an error object as a whole, because ioredis puts the command into it, and AUTH holds the password.
 */
import { connect } from 'node:net';
import type { RedisConfig } from '../config/config.ts';

export type RedisProblemKind =
  /** There is no answer at that address, or no longer. */
  | 'unreachable'
  /** It accepts commands and doesn't answer. */
  | 'silent'
  | 'tls'
  /** Something other than a Redis answers there. */
  | 'no-redis'
  | 'password'
  /** The user may not do what is needed. */
  | 'permission'
  | 'version'
  | 'read-only'
  /** It answers, but refuses: still loading, out of memory, no disk, protected mode, too many clients. */
  | 'refusing'
  /** A key of ours holds another type. */
  | 'foreign-data';

export class RedisProblem extends Error {
  override readonly name = 'RedisProblem';
  readonly kind: RedisProblemKind;

  constructor(kind: RedisProblemKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** What an error says, the kind it is, and what it means. */
const meanings: readonly (readonly [RegExp, RedisProblemKind, string])[] = [
  [/^(?:WRONGPASS|NOAUTH|ERR invalid password)/, 'password', 'wrong user or password'],
  [/^NOPERM/, 'permission', 'the user may not do what is needed'],
  [/^READONLY/, 'read-only', 'it is a read-only replica'],
  [/^WRONGTYPE/, 'foreign-data', 'a key of ours holds something else'],
  [/^DENIED/, 'refusing', 'it is in protected mode: set a password there, or protected-mode no'],
  [/^(?:LOADING|MASTERDOWN|BUSY|MISCONF|OOM|NOREPLICAS|CLUSTERDOWN|TRYAGAIN)/, 'refusing', 'it refuses'],
  [/Protocol error|Unknown RESP type/, 'no-redis', 'what answers there is no Redis'],
  [/Command timed out/, 'silent', 'it does not answer in time'],
  [/^ERR /, 'refusing', 'it refuses'],
];

const tlsCode = /^(?:ERR_(?:TLS|SSL)|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/;

/** `error`: of a command or a connection; `tls`: the connection uses TLS. A `RedisProblem` stays what it is. */
export function describeRedisError(error: unknown, tls = false): RedisProblem {
  if (error instanceof RedisProblem) return error;
  const origin = lastNodeError(error) ?? error;
  const message = origin instanceof Error ? origin.message : String(origin);
  const code = origin instanceof Error && 'code' in origin ? String(origin.code) : '';
  if (tlsCode.test(code)) return new RedisProblem('tls', `TLS failed (${code}: ${firstLine(message)})`);
  for (const [pattern, kind, meaning] of meanings)
    if (pattern.test(message)) return new RedisProblem(kind, `${meaning} (${firstLine(message)})`);
  // A Redis without TLS reads the handshake as a line and waits for its end.
  const doubt = tls && message === 'connect ETIMEDOUT' ? '; does it speak TLS?' : '';
  return new RedisProblem('unreachable', (firstLine(message) || code || 'the connection failed') + doubt);
}

/** A Cluster client says only that all nodes failed; why is in the last one's error. */
function lastNodeError(error: unknown): unknown {
  return error instanceof Error && 'lastNodeError' in error ? error.lastNodeError : undefined;
}

function firstLine(text: string): string {
  const [line = ''] = text.split('\n', 1);
  return line
    .trimEnd()
    .replace(/[.,]? script: [0-9a-f]{40}.*$/, '') // the same reason for every script
    .replace(/^(DENIED [^.]*)\..*$/, '$1') // then comes a page of advice
    .slice(0, 200);
}

/**
 * What `HELLO` answers, as the flat list of RESP 2. Errors: `RedisProblem` for a server older than 6.2, a replica, or
 * something that isn't Redis.
 */
export function checkHello(reply: unknown): void {
  const list: readonly unknown[] = Array.isArray(reply) ? reply : [];
  const fieldOf = (name: string): string => String(list[list.indexOf(name) + 1]);
  if (!list.includes('version')) throw new RedisProblem('no-redis', 'what answers there is no Redis');
  checkVersion(fieldOf('version'));
  if (list.includes('role') && fieldOf('role') !== 'master')
    throw new RedisProblem('read-only', 'it is a read-only replica');
}

/** 6.2: ZADD with GT, HELLO without arguments, COPY of ACL rules. Errors: `RedisProblem`. */
export function checkVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 6 || (major === 6 && minor >= 2)) return;
  throw new RedisProblem('version', `Redis 6.2 or newer is needed, this is ${version.slice(0, 20)}`);
}

/** A Redis that accepts commands waits for them: silence for this long is no refusal. */
const refusalTimeoutMs = 1000;
const maxRefusalChars = 1000;

/**
 * Why the first configured server refuses connections: protected mode, or too many clients. It says so without being
 * asked and closes; the system discards that for a client that has written meanwhile, so nothing is written here.
 * Takes a second at most. Undefined: it doesn't say, or it speaks TLS, where the handshake comes first.
 */
export async function readRefusal(
  { addresses, tls }: RedisConfig,
  signal: AbortSignal,
): Promise<RedisProblem | undefined> {
  const [address] = addresses;
  if (tls || address === undefined) return undefined;
  const { host, port } = address;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(refusalTimeoutMs)]);
  const socket = connect({ host, port, signal: limit });
  let said = '';
  try {
    for await (const chunk of socket) {
      said += String(chunk);
      if (said.includes('\n') || said.length > maxRefusalChars) break;
    }
  } catch {
    // It cannot be reached, which the caller knows already, or it is silent.
  } finally {
    socket.destroy();
  }
  return said.startsWith('-') ? describeRedisError(new Error(said.slice(1))) : undefined;
}
