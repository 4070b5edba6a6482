/** A process that writes hosted logs is killed at any moment: what it had answered is there, whole commits only. Build first. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { parseRepository } from '../../src/oci/name.ts';
import { digestNo, HostedLogRig } from '../support/hosted-log.ts';
import { spawnProcess } from '../support/process.ts';

/** Commits as fast as it can to two repositories, and prints the number of each commit when it is answered. */
const writer = `
  const { HostedLogs } = await import(DIST + '/store/hosted/hosted-logs.js');
  const { StoreLayout } = await import(DIST + '/store/layout.js');
  const { LoggedRepositories } = await import(DIST + '/hosted/log/logged-repositories.js');
  const { ReferenceCounts } = await import(DIST + '/hosted/log/reference-counts.js');
  const { createHash } = await import('node:crypto');
  const quiet = () => {};
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const layout = await StoreLayout.open(DATA);
  const logs = new HostedLogs({ layout, observer: { storeError: quiet } });
  const log = new LoggedRepositories({ logs, references: new ReferenceCounts(), logger, now: Date.now });
  await log.complete;
  const digest = n => 'sha256:' + createHash('sha256').update(String(n)).digest('hex');
  const cause = { at: 1, how: 'push' };
  const commit = async n => {
    const descriptor = { mediaType: 'a/b', digest: digest(n), size: 1 };
    await log.commit('team/app' + (n % 2), [
      { type: 'link', digest: digest(-n), size: n, ...cause },
      { type: 'manifest', descriptor, names: [digest(-n)], tags: ['t' + (n % 50)], ...cause },
    ]);
    process.stdout.write(n + '\\n');
  };
  for (let n = FIRST; ; n += 8) await Promise.all(Array.from({ length: 8 }, (_, i) => commit(n + i)));
`;

test('kill -9 at any moment, eight times in a row on one store: no answered commit is lost, and none is there by half', async () => {
  const rig = await HostedLogRig.create();
  const answered: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    const [dist, data, first] = [`${process.cwd()}/dist`, rig.layout.path, 1 + round * 1_000_000].map(String);
    const source = writer
      .replaceAll('DIST', JSON.stringify(dist))
      .replace('DATA', JSON.stringify(data))
      .replace('FIRST', first ?? '');
    const child = spawnProcess(process.execPath, ['--input-type=module', '-e', source]);
    await child.waitFor(line => (Number(line) > 20 ? line : undefined), 'the answer to a commit');
    await sleep(Math.random() * 40);
    await child.stop('SIGKILL');
    answered.push(...child.lines.map(Number));
    const { log, references } = await rig.start();
    expect(log.closed().size).toBe(0);
    for (const n of answered) {
      const repository = log.peek(parseRepository(`team/app${n % 2}`));
      expect([n, repository?.manifest(digestNo(n)) !== undefined]).toEqual([n, true]);
    }
    for (const name of log.names())
      for (const { names } of log.peek(name)?.manifests() ?? [])
        expect(names.every(digest => references.has(digest))).toBe(true);
    await log.close();
  }
  expect(answered.length).toBeGreaterThan(100);
});
