/** Where the log goes: in order, whole, and never what keeps a process from ending. */
import { expect, test } from 'vitest';
import { LineSink } from '../../src/log.ts';

function refuse(code: string): never {
  throw Object.assign(new Error(code), { code });
}

test('a sink whose reader has gone is given up at the first EPIPE, and flush ends', () => {
  let tries = 0;
  const sink = new LineSink(() => {
    tries += 1;
    return refuse('EPIPE');
  });
  for (let n = 0; n < 100; n += 1) sink.write(`line ${n}\n`);
  sink.flush();
  sink.write('later\n');
  sink.flush();
  expect(tries).toBe(1);
});

test('a sink whose reader does not read ends its flush too, and keeps no more than so much', () => {
  let tries = 0;
  const sink = new LineSink(() => {
    tries += 1;
    return refuse('EAGAIN');
  });
  sink.write('line\n');
  sink.flush();
  expect(tries).toBeGreaterThan(1);
  expect(tries).toBeLessThanOrEqual(51); // a second in steps of 20 ms
});

test('lines come whole and in order, however little the sink takes at a time', async () => {
  let got = '';
  let isFull = false;
  const sink = new LineSink((bytes, from) => {
    isFull = !isFull;
    if (isFull) return refuse('EAGAIN');
    got += bytes.toString('utf8', from, from + 7);
    return Math.min(7, bytes.length - from);
  });
  const lines = Array.from({ length: 20 }, (_, n) => `line ${n}\n`);
  for (const line of lines.slice(0, 10)) sink.write(line);
  await new Promise(resolve => setTimeout(resolve, 30));
  for (const line of lines.slice(10)) sink.write(line);
  sink.flush();
  expect(got).toBe(lines.join(''));
});
