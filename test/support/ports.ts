/**
 * A port without a listener, for "connection refused". Servers of tests listen on port 0 themselves; this is only for
 * addresses that are to fail, and for programs that cannot pick a port of their own.
 */
import { type AddressInfo, createServer } from 'node:net';

/** Was free a moment ago on 127.0.0.1; nothing holds it. */
export async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}
