/**
 * The longest turn of the event loop, in CPU time of the main thread, so that others on the machine don't count: a timer of
 * 1 ms looks at what the thread has used since the last time. Too long by what happens within that millisecond.
 *
 * Preloaded (`node --import`) it writes its finding to the file that LONGEST_TURN_FILE names, four times a second, and begins
 * anew at SIGUSR2.
 */
import { readFileSync, writeFileSync } from 'node:fs';

function cpuMs() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ', 1)[0]) / 1e6;
}

let last = cpuMs();
let longest = 0;

setInterval(() => {
  const now = cpuMs();
  longest = Math.max(longest, now - last);
  last = now;
}, 1).unref();

/** Milliseconds since the last call. */
export function longestTurn() {
  const found = longest;
  longest = 0;
  last = cpuMs();
  return found;
}

const file = process.env.LONGEST_TURN_FILE;
if (file !== undefined) {
  process.on('SIGUSR2', longestTurn); // what loading modules takes isn't asked for
  setInterval(() => writeFileSync(file, String(longest)), 250).unref();
}
