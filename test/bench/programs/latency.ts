/**
 * A client of its own that asks for one thing every 2 ms, one after the other, until SIGTERM: `latency HOST PORT PATH`. Then it prints how long
 * each answer took, in milliseconds, sorted, on one line. In a process that does something else as well, that work would be measured too.
 */
import { Agent, get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const [host = '', port = '', path = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
let isOver = false;
process.once('SIGTERM', () => {
  isOver = true;
});

function ask(): Promise<number> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    get({ host, port, path, agent }, answer => {
      answer.resume();
      answer.once('end', () => resolve(performance.now() - startedMs));
    }).once('error', reject);
  });
}

const times: number[] = [];
for (let at = 0; !isOver; at += 1) {
  const ms = await ask();
  if (at >= 200) times.push(ms); // before that its own code is not compiled yet
  await delay(2);
}
times.sort((a, b) => a - b);
process.stdout.write(`${times.map(ms => ms.toFixed(3)).join(' ')}\n`);
process.exit(0);
