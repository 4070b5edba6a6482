/**
 * A line of the bench's own, in a process of its own: `relay PORT TARGET_PORT DELAY_MS BYTES_PER_SECOND`. What is written into one end
 * comes out of the other DELAY_MS later, at most so many bytes a second on each connection and way (0: no limit). No packet is lost.
 */
import { connect, createServer, type Socket } from 'node:net';

const [port = '', target = '', delay = '', rate = ''] = process.argv.slice(2);
const delayMs = Number(delay);
const bytesPerSecond = Number(rate);
/** What may be on the way at once: as a window that fits to rate and delay, and not less than 1 MiB. */
const windowBytes = Math.max(1 << 20, (bytesPerSecond * delayMs * 2.5) / 1000);

function relay(from: Socket, to: Socket): void {
  let freeAtMs = 0;
  let onTheWay = 0;
  from.on('data', bytes => {
    const nowMs = performance.now();
    const takesMs = bytesPerSecond === 0 ? 0 : (bytes.length / bytesPerSecond) * 1000;
    freeAtMs = Math.max(freeAtMs, nowMs) + takesMs;
    onTheWay += bytes.length;
    if (onTheWay >= windowBytes) from.pause();
    setTimeout(
      () => {
        onTheWay -= bytes.length;
        if (onTheWay < windowBytes) from.resume();
        if (!to.destroyed) to.write(bytes);
      },
      freeAtMs - nowMs + delayMs,
    );
  });
  from.on('end', () => setTimeout(() => to.end(), Math.max(0, freeAtMs - performance.now()) + delayMs));
  from.on('error', () => to.destroy());
  from.on('close', () => setTimeout(() => to.end(), Math.max(0, freeAtMs - performance.now()) + delayMs));
}

createServer({ allowHalfOpen: true, noDelay: true }, client => {
  const server = connect({ port: Number(target), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  // A new connection costs its own round trip, as it would on the line.
  client.pause();
  server.once('connect', () => setTimeout(() => client.resume(), delayMs * 2));
  relay(client, server);
  relay(server, client);
  client.pause();
}).listen(Number(port), '127.0.0.1');
