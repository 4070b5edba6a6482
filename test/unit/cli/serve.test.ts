import { EventEmitter } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { serve } from '../../../src/cli/serve.ts';
import { get } from '../../support/client.ts';
import { deferred } from '../../support/gates.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** The command with a process that the test plays. */
async function run(config: string) {
  const folder = await tempDir();
  const file = join(folder, 'mirror.yml');
  await writeFile(file, config.replaceAll('FOLDER', folder));
  const process = Object.assign(new EventEmitter(), { pid: 4711 });
  const lines: Record<string, unknown>[] = [];
  const errors: string[] = [];
  const starting = deferred();
  const listening = deferred<Record<string, unknown>>();
  const code = serve({
    file,
    env: {},
    cwd: folder,
    process,
    writeError: text => errors.push(text),
    writeLog: line => {
      const parsed: Record<string, unknown> = JSON.parse(line);
      lines.push(parsed);
      const { msg } = parsed;
      if (msg === 'starting') starting.resolve();
      if (msg === 'listening') listening.resolve(parsed);
    },
  });
  code.then(got => listening.reject(new Error(`ended with ${got}: ${JSON.stringify(lines.at(-1))}`)));
  listening.promise.catch(() => {});
  return { file, process, lines, errors, code, starting: starting.promise, listening: listening.promise };
}

const good = 'http: { listen: "127.0.0.1:0", drain: 5s }\nstore: { path: FOLDER/data }\n';

describe('serve', () => {
  it('says where it listens, serves, and ends with 0 after SIGTERM', async () => {
    const { process, code, listening, lines } = await run(good);
    const line = await listening;
    expect(line).toMatchObject({
      level: 'info',
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      pid: 4711,
      cacheLimit: { bytes: expect.any(Number), reason: expect.any(String) },
    });
    const { url } = line;
    expect((await get(String(url), '/v2/')).status).toBe(200);
    process.emit('SIGTERM', 'SIGTERM');
    expect(await code).toBe(0);
    expect(lines.at(-1)).toMatchObject({ msg: 'stopped' });
    await expect(get(String(url), '/v2/')).rejects.toThrow('ECONNREFUSED');
  });

  it('ends with 0 when the signal comes during the start', async () => {
    const { process, code, starting } = await run(good);
    await starting;
    expect(process.listenerCount('SIGTERM')).toBe(1);
    process.emit('SIGTERM', 'SIGTERM');
    expect(await code).toBe(0);
  });

  it('ends with 2 and every problem, with line and column, for a bad configuration', async () => {
    const { code, errors, file } = await run('htp: {}\nstore: { max_size: lots }\n');
    expect(await code).toBe(2);
    const report = errors.join('').trimEnd().split('\n');
    expect(report).toHaveLength(2);
    for (const line of report) expect(line.replace(file, 'FILE')).toMatch(/^FILE:\d+:\d+: \S+: /);
  });

  it('ends with 1 when it can not start', async () => {
    const { code, lines } = await run(`${good.replace('FOLDER/data', 'FOLDER/mirror.yml')}`);
    expect(await code).toBe(1);
    expect(lines.at(-1)).toMatchObject({ level: 'error', msg: 'the mirror could not start' });
  });
});
