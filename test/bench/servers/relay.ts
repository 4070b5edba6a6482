/** A line between two servers (programs/relay.ts): longer, or slower, than the loopback. */
import { setTimeout as delay } from 'node:timers/promises';
import { unusedPort } from '../../support/ports.ts';
import { spawnProcess } from '../../support/process.ts';
import { programFile } from '../programs.ts';
import { accepts } from './start.ts';

export interface Line {
  /** Each way. */
  readonly delayMs?: number;
  /** Of each connection and way. */
  readonly bytesPerSecond?: number;
}

/** For the running test. Gives the URL by which `target` is reached over the line. */
export async function startRelay(target: string, { delayMs = 0, bytesPerSecond = 0 }: Line): Promise<string> {
  const port = await unusedPort();
  const numbers = [port, new URL(target).port, delayMs, bytesPerSecond].map(String);
  spawnProcess(process.execPath, [programFile('relay'), ...numbers]);
  for (let tries = 0; !(await accepts(port)); tries += 1) {
    if (tries === 200) throw new Error('the relay did not start');
    await delay(50);
  }
  return `http://127.0.0.1:${port}`;
}
