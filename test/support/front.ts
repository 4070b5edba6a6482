/**
 * A TCP port of its own in front of a server that doesn't listen yet: so that a mirror can be told, before it starts, under
 * which URL others reach it. It passes bytes on in both directions, and ends as its server ends.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Front {
  readonly url: string;
  /** Of the server behind it. */
  target: string | undefined;
  /** The next connection that is given more bytes than that is reset there. */
  cutAfter: number | undefined;
  close(): Promise<void>;
}

/** Closed with the test. Without a target, connections are reset. */
export async function openFront(): Promise<Front> {
  const sockets = new Set<Socket>();
  const front: Pick<Front, 'target' | 'cutAfter'> = { target: undefined, cutAfter: undefined };
  const server = createServer({ allowHalfOpen: true }, socket => {
    const own = (part: Socket) => {
      sockets.add(part);
      part.on('close', () => sockets.delete(part));
    };
    own(socket);
    socket.on('error', () => {});
    if (front.target === undefined) {
      socket.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(front.target);
    const behind = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    own(behind);
    behind.on('error', () => socket.resetAndDestroy());
    socket.on('close', () => behind.destroy());
    behind.on('close', () => socket.destroySoon());
    let given = 0;
    behind.on('data', chunk => {
      given += chunk.length;
      if (given <= (front.cutAfter ?? Number.POSITIVE_INFINITY)) return;
      front.cutAfter = undefined;
      socket.resetAndDestroy();
    });
    socket.pipe(behind);
    behind.pipe(socket);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise(resolve => server.close(resolve));
  };
  onTestFinished(close);
  return Object.assign(front, { url: `http://127.0.0.1:${port}`, close });
}
