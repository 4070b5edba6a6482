import { EventEmitter, once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
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

  it('ends with 1 when it can not start, with one line that names the key, and no stack', async () => {
    const { code, lines, errors, file } = await run(`${good.replace('FOLDER/data', 'FOLDER/mirror.yml')}`);
    expect(await code).toBe(1);
    expect(errors).toEqual([`store.path: ${file} is a file, or lies below one; choose a folder\n`]);
    expect(JSON.stringify(lines)).not.toContain('stack');
    expect(lines.map(({ msg }) => msg)).toEqual(['starting']);
  });

  it('names the process that has the port, for http.listen and for metrics.listen', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const address = server.address();
    const inUse = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
    for (const [key, config] of [
      ['http.listen', good.replace('127.0.0.1:0', inUse)],
      ['metrics.listen', `${good}metrics: { listen: "${inUse}" }\n`],
    ] as const) {
      const { code, errors } = await run(config);
      expect(await code).toBe(1);
      expect(errors).toHaveLength(1);
      const start = `${key}: ${inUse} is in use by process ${globalThis.process.pid} (`;
      expect(errors[0]?.slice(0, start.length)).toBe(start);
      expect(errors[0]).toMatch(/\); stop it, or choose another port\n$/);
    }
  });

  it.each([
    [
      '192.0.2.1:5000',
      'http.listen: 192.0.2.1:5000 is not an address of this machine; ":5000" means all of them\n',
    ],
    [
      'nowhere.invalid:5000',
      'http.listen: nowhere.invalid is not a name of this machine; write an IP address of it\n',
    ],
  ])('says why it can not listen on %s', async (address, message) => {
    const { code, errors } = await run(good.replace('127.0.0.1:0', address));
    expect(await code).toBe(1);
    expect(errors).toEqual([message]);
  });

  it('shows the stack at log.level debug', async () => {
    const { code, lines } = await run(
      `${good.replace('FOLDER/data', 'FOLDER/mirror.yml')}log: { level: debug }\n`,
    );
    expect(await code).toBe(1);
    expect(lines.at(-1)).toMatchObject({ level: 'debug', msg: 'the mirror could not start' });
    expect(JSON.stringify(lines.at(-1))).toContain('stack');
  });
});

describe('serve on a terminal', () => {
  const terminal = { version: '1.2.3 (abc)', command: 'cistern' };

  it('says in words where it is and what comes next, and logs in coloured text', async () => {
    const { process, code, texts, folder } = await runText(good, terminal);
    await expect.poll(() => texts.join('')).toContain('next');
    const banner = texts.join('').slice(texts.join('').indexOf('\nCistern'));
    const [, url = ''] = /address {4}(\S+)\n/.exec(banner) ?? [];
    expect(banner.replaceAll(url, 'URL').replace(/limit .*/, 'limit')).toBe(`
Cistern 1.2.3 (abc) is ready. Ctrl-C ends it.

  address    URL
  upstreams  docker.io
  limit
  page       URL/
  next       cistern client docker

`);
    expect(banner).toMatch(/limit {6}at most \S+ [KMGT]iB in /);
    expect(banner).toContain(`${folder}/data (`);
    const [line = ''] = texts;
    expect(line.replaceAll('\u001b', 'ESC').replace(/20[\dTZ:.-]+/, 'TIME')).toBe(
      `ESC[90mTIMEESC[0m ESC[32mINFO ESC[0m starting ESC[90mconfig=ESC[0m${folder}/mirror.yml\n`,
    );
    process.emit('SIGTERM', 'SIGTERM');
    expect(await code).toBe(0);
    expect(texts.join('')).not.toContain('listening');
  });

  it('has no colours where NO_COLOR says so', async () => {
    const { process, code, texts } = await runText(good, terminal, { NO_COLOR: '1' });
    await expect.poll(() => texts.join('')).toContain('Cistern 1.2.3');
    process.emit('SIGTERM', 'SIGTERM');
    expect(await code).toBe(0);
    expect(texts.join('')).not.toContain('\u001b');
  });

  it('logs JSON and nothing else where the configuration says so', async () => {
    const { process, code, texts } = await runText(`${good}log: { format: json }\n`, terminal);
    await expect.poll(() => texts.join('')).toContain('"msg":"listening"');
    process.emit('SIGTERM', 'SIGTERM');
    expect(await code).toBe(0);
    for (const text of texts) expect(() => JSON.parse(text)).not.toThrow();
  });
});

/** As `run`, with the output as it comes. */
async function runText(
  config: string,
  terminal: { readonly version: string; readonly command: string },
  env: NodeJS.ProcessEnv = {},
) {
  const folder = await tempDir();
  const file = join(folder, 'mirror.yml');
  await writeFile(file, config.replaceAll('FOLDER', folder));
  const process = Object.assign(new EventEmitter(), { pid: 4711 });
  const texts: string[] = [];
  const writeLog = (text: string) => void texts.push(text);
  const code = serve({ file, env, cwd: folder, process, terminal, writeError: writeLog, writeLog });
  return { folder, process, texts, code };
}
