/**
 * A client that goes on sending after it got (part of) an answer: whether the server's end was a FIN or a reset shows
 * only then, because a reset comes in reply to what is not read.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { onTestFinished } from 'vitest';

/**
 * Sends `first`, waits for the first bytes of the answer, then sends `more` three times with `pause` before each.
 * Resolves with how the connection ended (`fin` or the code of the error) and all text that came.
 */
export async function sendAfterAnswer(
  url: string,
  first: string,
  more: string,
  pause: () => Promise<unknown>,
): Promise<{ ending: string; text: string }> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  let text = '';
  const ending = new Promise<string>(resolve => {
    socket.once('end', () => resolve('fin'));
    socket.on('error', error => resolve('code' in error ? String(error.code) : error.message));
  });
  socket.on('data', bytes => {
    text += bytes.toString('latin1');
  });
  socket.write(first);
  await once(socket, 'data');
  for (let count = 0; count < 3; count += 1) {
    await pause();
    socket.write(more);
  }
  await pause(); // a reset would have come by now
  const { errored } = socket;
  return { ending: errored === null ? await ending : `late ${errored.message}`, text };
}
