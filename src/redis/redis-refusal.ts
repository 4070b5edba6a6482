/**
 * What a Redis says to somebody whom it turns away at the door: in protected mode, or with as many clients as it takes. It
 * says so without being asked and closes; the system then throws that away for whoever has written meanwhile, as a
 * client does at once. So here nothing is written.
 */
import { connect } from 'node:net';
import type { RedisConfig } from '../config/config.ts';
import { describeRedisError, type RedisProblem } from './redis-problem.ts';

/** A Redis that takes commands waits for them: silence this long is no refusal. */
const patienceMs = 1000;
const longestChars = 1000;

/**
 * Of the first server that is configured; takes a second at most. Undefined: it doesn't say, or it speaks TLS, where
 * nobody says anything before a handshake.
 */
export async function readRefusal(
  { addresses, tls }: RedisConfig,
  signal: AbortSignal,
): Promise<RedisProblem | undefined> {
  const [address] = addresses;
  if (tls || address === undefined) return undefined;
  const { host, port } = address;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
  const socket = connect({ host, port, signal: limit });
  let said = '';
  try {
    for await (const chunk of socket) {
      said += String(chunk);
      if (said.includes('\n') || said.length > longestChars) break;
    }
  } catch {
    // It can't be reached, which whoever asks knows already, or it is silent.
  } finally {
    socket.destroy();
  }
  return said.startsWith('-') ? describeRedisError(new Error(said.slice(1))) : undefined;
}
