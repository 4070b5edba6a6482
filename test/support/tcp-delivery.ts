/**
 * Waits until the peer's kernel has everything that was written to a socket. A reset throws away what is still in the
 * sender's buffer, so "n bytes, then RST" needs this to be n. Linux only, by /proc/net/tcp.
 */
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';

const tries = 200;
const againMs = 5;

/** Gives up after a second, for a peer that does not read. */
export async function untilDelivered(socket: Socket): Promise<void> {
  for (let tried = 0; tried < tries && !socket.destroyed; tried += 1) {
    if ((await unsentBytes(socket)) === 0) return;
    await new Promise(resolve => setTimeout(resolve, againMs));
  }
}

/** Bytes that the peer has not acknowledged yet. */
async function unsentBytes({ localPort = 0, remotePort = 0 }: Socket): Promise<number> {
  const wanted = [localPort, remotePort].map(port => `:${port.toString(16).toUpperCase().padStart(4, '0')}`);
  for (const line of (await readFile('/proc/net/tcp', 'utf8')).split('\n')) {
    const [, local, remote, , queues] = line.trim().split(/\s+/);
    if (local?.endsWith(wanted[0] ?? '') && remote?.endsWith(wanted[1] ?? '')) {
      return Number.parseInt(queues?.split(':', 1)[0] ?? '0', 16);
    }
  }
  return 0;
}
