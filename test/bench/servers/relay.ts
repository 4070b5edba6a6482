/** A line between two servers (programs/relay.ts): longer, or slower, than the loopback. */
import { networkInterfaces } from 'node:os';
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
  const address = ownAddress();
  const numbers = [port, new URL(target).port, delayMs, bytesPerSecond].map(String);
  spawnProcess(process.execPath, [programFile('relay'), address, ...numbers]);
  for (let tries = 0; !(await accepts(port, address)); tries += 1) {
    if (tries === 200) throw new Error('the relay did not start');
    await delay(50);
  }
  return `http://${address}:${port}`;
}

/** Of this machine, and not of its loopback if it has another: a mirror takes the loopback for no distance, whatever the line's delay. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap(list => list ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';
}
