/** `serve | head -1`: the reader of the log goes away, and SIGTERM still ends the process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { get } from '../support/client.ts';
import { tempDir } from '../support/temp-dir.ts';

test('SIGTERM ends a mirror whose log reader has gone, 10 times out of 10', async () => {
  const ends: unknown[] = [];
  for (let n = 0; n < 10; n += 1) {
    const folder = await tempDir();
    const file = join(folder, 'mirror.yml');
    await writeFile(file, `http: { listen: "127.0.0.1:0" }\nstore: { path: ${folder}/data, min_free: 0 }\n`);
    const child = spawn(process.execPath, ['dist/main.js', 'serve', '--config', file], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    let url = '';
    for await (const line of createInterface({ input: child.stdout })) {
      const { msg, url: found } = JSON.parse(line);
      if (msg !== 'listening') continue;
      url = found;
      break;
    }
    child.stdout.destroy();
    await Promise.all(Array.from({ length: 20 }, () => get(url, '/v2/')));
    child.kill('SIGTERM');
    ends.push(await exited);
  }
  expect(ends).toEqual(Array.from({ length: 10 }, () => [0, null]));
});
