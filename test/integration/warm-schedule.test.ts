/** Runs of `cistern warm` that come by the clock, change with the configuration, and are stopped. */
import { readFile, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { spawnProcess } from '../support/process.ts';
import { manifestLine } from '../support/request-log.ts';
import { TestClock } from '../support/test-clock.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const hourMs = 3_600_000;

test('the schedule: first at the start, then every so often, only within the window, and stats tell of it', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', buildImage({ layers: ['first'] }), 'latest');
  const clock = new TestClock(new Date(2026, 10, 27, 21, 0).getTime()); // local time
  const entry = { images: ['app'], every: '2h', window: '22:00-01:00' };
  const config = { warm: [entry] };
  const mirror = await startTestMirror({ upstream, now: clock.now, timers: clock, config });
  await mirror.settled();
  await expect.poll(() => clock.waiting).toBeGreaterThan(0);
  expect(upstream.lines()).toEqual([]);
  const waiting = await runForJson(mirror.file, 'stats');
  const at = (hours: number) => new Date(2026, 10, 27, hours, 0).toISOString();
  expect(waiting['daemon']).toMatchObject({
    warm: {
      schedule: [{ source: 'warm[0]', nextAt: null }],
      runs: [{ source: 'warm[0]', waiting: [{ why: 'window', until: at(22) }], results: { waiting: 1 } }],
    },
  });
  const heads = () => upstream.lines().filter(line => line === manifestLine('latest', 'HEAD')).length;
  await clock.advance(hourMs);
  await expect.poll(() => mirror.log.filter(({ msg }) => msg === 'images warmed').length).toBe(1);
  expect(heads()).toBe(1);
  expect(upstream.lines().filter(line => line.startsWith('GET manifests'))).toHaveLength(1);
  await clock.advance(2 * hourMs); // midnight: each other hour from 21:00 on would be 23:00, and it counts from its start
  await expect.poll(heads).toBe(2);
  await clock.advance(10 * hourMs); // 10:00 of the next day: outside
  expect(heads()).toBe(2);
  const { body } = await get(mirror.url, '/api/v1/stats');
  expect(body.toString()).toContain('"source":"warm[0]"');
  expect(body.toString()).not.toContain('failures');
});

test('SIGHUP takes another schedule over: what it names is fetched, without a restart', async () => {
  const upstream = await startFakeUpstream();
  for (const name of ['old', 'new'])
    upstream.put(`library/${name}`, buildImage({ layers: [name] }), 'latest');
  const mirror = await spawnTestMirror({ upstream, config: { warm: [{ images: ['old'], every: '1h' }] } });
  await mirror.process.waitForMessage('images warmed');
  const config = parse(await readFile(mirror.file, 'utf8'));
  await writeFile(mirror.file, stringify({ ...config, warm: [{ images: ['new'], every: '1h' }] }));
  mirror.process.signal('SIGHUP');
  const reloaded = await mirror.process.waitForMessage('configuration reloaded');
  expect(reloaded['changed']).toEqual(['warm']);
  const heads = () =>
    upstream.requests.filter(({ method }) => method === 'HEAD').map(({ repository }) => repository);
  await expect.poll(heads).toEqual(['library/old', 'library/new']);
});

test('Ctrl-C stops a run that does not wait: no further image is begun, and what came stays', async () => {
  const upstream = await startFakeUpstream();
  const [first, second] = [
    buildImage({ layers: [patternBlob('large', 3_000_000)] }),
    buildImage({ layers: ['next'] }),
  ];
  upstream.put('library/first', first, 'latest');
  upstream.put('library/second', second, 'latest');
  const [layer] = first.layers;
  const gate = upstream.holdAfter({ digest: layer?.descriptor.digest ?? '' }, 1_000_000);
  const mirror = await startTestMirror({ upstream });
  const command = spawnProcess(process.execPath, [
    'dist/main.js',
    'warm',
    'first',
    'second',
    '--config',
    mirror.file,
  ]);
  await gate.reached;
  command.signal('SIGINT');
  expect((await command.exited).code).toBe(1);
  expect(command.lines).toContain('stopped: what was fetched stays');
  gate.release();
  await expect.poll(() => mirror.log.some(({ msg }) => msg === 'images warmed')).toBe(true);
  expect(upstream.requests.some(({ repository }) => repository === 'library/second')).toBe(false);
  const { code } = await runCistern(mirror.file, 'warm', 'first', 'second');
  expect(code).toBe(0);
  expect(upstream.contentBytes('blob', layer?.descriptor.digest)).toBe(3_000_000);
});
