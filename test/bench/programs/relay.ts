/**
 * A line of the bench's own, in a process of its own: `relay ADDRESS PORT TARGET_PORT DELAY_MS BYTES_PER_SECOND`. What is written into one end
 * comes out of the other DELAY_MS later, at most so many bytes a second on each connection and way (0: no limit). No packet is lost.
 */
import { connect, createServer, type Socket } from 'node:net';

const [address = '', port = '', target = '', delay = '', rate = ''] = process.argv.slice(2);
const delayMs = Number(delay);
const bytesPerSecond = Number(rate);
/** What may be on the way at once: as a window that fits to rate and delay, and not less than 1 MiB. */
const windowBytes = Math.max(1 << 20, (bytesPerSecond * delayMs * 2.5) / 1000);

/** One way of one connection, in order: what comes goes on when its time has come. */
function relay(from: Socket, to: Socket): void {
  const queue: { readonly dueMs: number; readonly bytes: Buffer | 'end' }[] = [];
  let freeAtMs = 0;
  let onTheWay = 0;
  let isTimed = false;
  const goOn = (): void => {
    isTimed = false;
    sendDue();
    if (onTheWay < windowBytes) from.resume();
  };
  const sendDue = (): void => {
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        isTimed = true;
        setTimeout(goOn, waitMs);
        return;
      }
      queue.shift();
      if (first.bytes === 'end') to.end();
      else {
        onTheWay -= first.bytes.length;
        if (!to.destroyed) to.write(first.bytes);
      }
    }
  };
  const add = (bytes: Buffer | 'end'): void => {
    const takesMs = bytes === 'end' || bytesPerSecond === 0 ? 0 : (bytes.length / bytesPerSecond) * 1000;
    freeAtMs = Math.max(freeAtMs, performance.now()) + takesMs;
    queue.push({ dueMs: freeAtMs + delayMs, bytes });
    if (!isTimed) goOn();
  };
  from.on('data', bytes => {
    onTheWay += bytes.length;
    if (onTheWay >= windowBytes) from.pause();
    add(bytes);
  });
  from.on('end', () => add('end'));
  from.on('error', () => to.destroy());
  from.resume();
}

createServer({ allowHalfOpen: true, noDelay: true }, client => {
  const server = connect({ port: Number(target), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  // A new connection costs its own round trip, as it would on the line.
  client.pause();
  server.once('connect', () => {
    setTimeout(() => {
      relay(client, server);
      relay(server, client);
    }, delayMs * 2);
  });
  server.on('error', () => client.destroy());
}).listen(Number(port), address);
