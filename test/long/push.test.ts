/** `cistern push` of a layer of 300 MB through an nginx with a limit of 100 MB, over a line that is cut twice. */
import { expect, test } from 'vitest';
import { pushOverBadLine } from '../support/bad-line.ts';
import { requires } from '../support/requires.ts';

requires('root', 'nginx')('cistern push of a large layer', () => {
  test('300 MB, limit 100 MB, cut twice: one session each, and little is sent twice', async () => {
    const size = 300_000_000;
    const { pushed, line, starts, stored } = await pushOverBadLine(size, {
      maxBody: '100m',
      chunkBytes: 50_000_000,
      cutAt: [120_000_000, 230_000_000],
    });
    expect([pushed.code, line.cuts, stored, starts]).toEqual([0, 2, size, 2]);
    expect(line.upBytes).toBeLessThan(1.1 * size);
    process.stdout.write(`sent ${line.upBytes} bytes for a layer of ${size}\n`);
  });
});
