/** The logs of all hosted repositories: how they share syncs, what closes one, what a compaction keeps. Real files. */
import {
  appendFile,
  chmod,
  type FileHandle,
  mkdir,
  open,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { GenerationConflict } from '../../../../src/hosted/log/hosted-log.ts';
import { parseRepository } from '../../../../src/oci/name.ts';
import { formatChecksummedLine } from '../../../../src/store/disk-files.ts';
import { deferred } from '../../../support/gates.ts';
import {
  app,
  digestNo,
  everythingOf,
  HostedLogRig,
  link,
  manifest,
  tag,
  unlink,
} from '../../../support/hosted-log.ts';

const other = parseRepository('other/app');

async function flipByte(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

/** Counts syncs of open files; the next so many fail. */
async function watchSyncs(failures = 0) {
  const handle = await open('/dev/null');
  const prototype: { datasync(): Promise<void> } = Object.getPrototypeOf(handle);
  await handle.close();
  const spy = vi.spyOn(prototype, 'datasync');
  onTestFinished(() => spy.mockRestore());
  for (let n = 0; n < failures; n += 1)
    spy.mockImplementationOnce(() => Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })));
  return spy;
}

test('commits of one turn share one sync; those that come meanwhile share the next', async () => {
  const { log } = await (await HostedLogRig.create()).start();
  await log.commit(app, [link(0)]);
  const syncs = await watchSyncs();
  await Promise.all(Array.from({ length: 50 }, (_, n) => log.commit(app, [link(n)])));
  expect(syncs).toHaveBeenCalledTimes(1);
});

/** The next sync waits until it is told how it ends. */
function holdNextSync(syncs: Awaited<ReturnType<typeof watchSyncs>>) {
  const end = deferred();
  const begun = deferred();
  syncs.mockImplementationOnce(() => {
    begun.resolve();
    return end.promise;
  });
  return { begun: begun.promise, succeed: end.resolve, fail: end.reject };
}

const byOwn = (n: number) => ({ by: { tags: [tag(`v${n}`)], digests: [digestNo(1), digestNo(n)] } });

test('commits decided by tags and digests of their own share the next sync while one runs, in their order', async () => {
  const rig = await HostedLogRig.create();
  const { log } = await rig.start();
  const { generation } = await log.commit(app, [link(1)]);
  const syncs = await watchSyncs();
  const first = holdNextSync(syncs);
  const commits = [log.commit(app, [manifest(10, ['v10'])], generation, byOwn(10))];
  await first.begun;
  for (let n = 11; n < 31; n += 1)
    commits.push(log.commit(app, [manifest(n, [`v${n}`], { names: [1] })], generation, byOwn(n)));
  expect(syncs).toHaveBeenCalledTimes(1);
  expect(log.peek(app)?.tags()).toEqual([]); // nothing is visible before its sync
  first.succeed();
  const generations = (await Promise.all(commits)).map(repository => repository.generation);
  expect([syncs.mock.calls.length, ...generations]).toEqual([2, 2, ...Array(20).fill(22)]);
  const lines = (await readFile(rig.path(), 'utf8')).split('\n').filter(line => line.includes('"tags"'));
  expect(lines.map(line => Number(/"v(\d+)"/.exec(line)?.[1]))).toEqual(
    Array.from({ length: 21 }, (_, n) => 10 + n),
  );
});

test('a sync that fails fails the commits whose lines it was for, and no other', async () => {
  const rig = await HostedLogRig.create();
  const { log } = await rig.start();
  const { generation } = await log.commit(app, [link(1)]);
  const first = holdNextSync(await watchSyncs());
  const commits = [11, 12].map(n => log.commit(app, [manifest(n, [`v${n}`])], generation, byOwn(n)));
  await first.begun;
  for (const n of [13, 14]) commits.push(log.commit(app, [manifest(n, [`v${n}`])], generation, byOwn(n)));
  first.fail(Object.assign(new Error('EIO'), { code: 'EIO' }));
  const settled = await Promise.allSettled(commits);
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
  expect(settled[0]).toMatchObject({ reason: { code: 'UNAVAILABLE' } });
  await log.commit(app, [manifest(11, ['v11'])], generation, byOwn(11)); // what failed is in the way of none
  expect((await rig.start()).log.peek(app)?.tags()).toEqual(['v11', 'v13', 'v14']);
});

test.each([
  ['sets its tag', [manifest(10, ['v11'])]],
  ['removes its tag', [{ type: 'untag', tag: tag('v11'), at: 1, how: 'delete' } as const]],
  ['unlinks a blob that it names', [unlink(1)]],
  ['links that blob with another size', [{ ...link(1), size: 99 }]],
  ['brings a manifest that it names', [manifest(11, ['other'])]],
  [
    'drops a manifest that it names',
    [{ type: 'drop-manifest', digest: digestNo(1), at: 1, how: 'collect' } as const],
  ],
  [
    'deletes any manifest with its tags',
    [{ type: 'delete-manifest', digest: digestNo(5), at: 1, how: 'delete' } as const],
  ],
])('a commit that %s is a conflict, while it waits and afterwards', async (_what, changes) => {
  const { log } = await (await HostedLogRig.create()).start();
  const { generation } = await log.commit(app, [link(1), manifest(5, ['v11'])]);
  const mine = () => log.commit(app, [manifest(11, ['v11'])], generation, byOwn(11));
  const [former, second] = await Promise.allSettled([log.commit(app, changes), mine()]);
  const third = await mine().catch((error: unknown) => error);
  expect([former?.status, second, third]).toEqual([
    'fulfilled',
    { status: 'rejected', reason: expect.any(GenerationConflict) },
    expect.any(GenerationConflict),
  ]);
});

test('what is linked or pushed again as it was, or pulled, is no conflict; what is too long ago is one', async () => {
  const { log } = await (await HostedLogRig.create()).start();
  const { generation } = await log.commit(app, [link(1), manifest(11, ['old'])]);
  const mine = () => log.commit(app, [manifest(11, ['v11'])], generation, byOwn(11));
  await log.commit(app, [link(1), manifest(11, ['other']), { type: 'pulled', digest: digestNo(11), at: 9 }]);
  await mine();
  await Promise.all(Array.from({ length: 600 }, (_, n) => log.commit(app, [link(100 + n)])));
  const old = log.commit(app, [manifest(12, ['v12'])], generation, byOwn(12));
  await expect(old).rejects.toBeInstanceOf(GenerationConflict);
});

test('the first commits of 20 repositories at once sync the folders that they share at most 4 times', async () => {
  const rig = await HostedLogRig.create();
  const { log } = await rig.start();
  const handle = await open('/dev/null');
  const syncs = vi.spyOn<FileHandle, 'sync'>(Object.getPrototypeOf(handle), 'sync');
  onTestFinished(() => syncs.mockRestore());
  await handle.close();
  const names = Array.from({ length: 20 }, (_, n) => parseRepository(`team/app${n}`));
  await Promise.all(names.map(name => log.commit(name, [link(1)])));
  // One folder each, and three above them: hosted-v1/team, hosted-v1, and that of the store.
  expect(syncs.mock.calls.length - names.length).toBeLessThanOrEqual(3 * 4);
  expect((await rig.start()).log.names()).toHaveLength(20);
});

test('who has the turn commits first, others wait until it is given back', async () => {
  const { log } = await (await HostedLogRig.create()).start();
  const early = log.commit(app, [link(1)]);
  const [turn, next] = [await log.takeTurn(app), log.takeTurn(app)];
  expect(log.peek(app)?.generation).toBe(1); // the early one is written
  const late = log.commit(app, [link(2)]);
  await log.commit(app, [link(3)], 1, { turn });
  await new Promise(setImmediate);
  expect(log.peek(app)?.link(digestNo(2))).toBeUndefined();
  turn.giveBack();
  (await next).giveBack();
  await Promise.all([early, late]);
  expect(log.peek(app)?.generation).toBe(3);
});

test('a commit that the disk refuses changes nothing and is UNAVAILABLE; the next one works', async () => {
  const rig = await HostedLogRig.create();
  const { log, references } = await rig.start();
  await log.commit(app, [link(1)]);
  await watchSyncs(1);
  await expect(log.commit(app, [link(2)])).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining('disk is full'),
  });
  expect([log.peek(app)?.link(digestNo(2)), references.has(digestNo(2))]).toEqual([undefined, false]);
  const { generation } = await log.commit(app, [link(3)], log.peek(app)?.generation);
  expect(generation).toBe(2);
  const again = await rig.start();
  expect(Array.from(again.log.peek(app)?.links() ?? [], ({ size }) => size)).toEqual([1, 3]);
});

test('references count repositories, and bytes each digest once; the same after a restart', async () => {
  const rig = await HostedLogRig.create();
  const { log, references } = await rig.start();
  await log.commit(app, [link(10), link(20)]);
  await log.commit(other, [link(10)]);
  await log.commit(app, [link(10, 99)]);
  expect([references.bytes, references.count, references.sizeOf(digestNo(20))]).toEqual([30, 2, 20]);
  await log.commit(app, [unlink(10)]);
  expect([references.bytes, references.has(digestNo(10))]).toEqual([30, true]);
  const again = await rig.start();
  expect(again.references.bytes).toBe(30);
  await again.log.commit(other, [unlink(10)]);
  expect([again.references.bytes, again.references.has(digestNo(10))]).toEqual([20, false]);
});

test('a log with a damaged line in the middle is closed, others are not; it never counts as empty', async () => {
  const rig = await HostedLogRig.create();
  const { log } = await rig.start();
  for (let n = 1; n < 5; n += 1) await log.commit(app, [manifest(n, [`v${n}`])]);
  await log.commit(other, [link(7)]);
  await log.close();
  await flipByte(rig.path(), 200);
  const before = await readFile(rig.path());
  const damaged = (await rig.start()).log;
  expect([damaged.isComplete, [...damaged.closed().keys()], damaged.names()]).toEqual([
    true,
    [app],
    [other, app],
  ]);
  expect(damaged.closed().get(app)).toContain('is damaged');
  await expect(damaged.readRepository(app)).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
  await expect(damaged.commit(app, [link(9)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(damaged.peek(app)).toBeUndefined();
  expect((await damaged.readRepository(other))?.link(digestNo(7))).toBeDefined();
  expect(await readFile(rig.path())).toEqual(before);
  expect(rig.recorder.logged.filter(line => line.startsWith('error'))).toEqual([
    expect.stringContaining('cistern repair team/app'),
  ]);
});

test.each([
  ['is cut', async (path: string) => writeFile(path, (await readFile(path)).subarray(0, 300))],
  ['is empty', (path: string) => writeFile(path, '')],
  ['is missing', (path: string) => rm(path)],
  ['is a symlink', async (path: string) => rm(path).then(() => symlink('/dev/zero', path))],
  ['is a folder', async (path: string) => rm(path).then(() => mkdir(path))],
])('a log that %s is closed', async (_name, damage) => {
  const rig = await HostedLogRig.create();
  const { log } = await rig.start();
  for (let n = 1; n < 5; n += 1) await log.commit(app, [manifest(n, ['latest'])]);
  await log.close();
  await damage(rig.path());
  const again = (await rig.start()).log;
  expect([...again.closed().keys()]).toEqual([app]);
  await expect(again.readRepository(app)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});

test('a line that a crash tore is dropped with a warning, and the next commit follows what was whole', async () => {
  const rig = await HostedLogRig.create();
  const { log } = await rig.start();
  await log.commit(app, [link(1)]);
  await log.close();
  await appendFile(rig.path(), formatChecksummedLine({ type: 'changes', changes: [link(2)] }).slice(0, 40));
  const again = (await rig.start()).log;
  expect(again.closed().size).toBe(0);
  expect(rig.recorder.logged).toEqual([expect.stringContaining('which a crash tore')]);
  await again.commit(app, [link(3)]);
  const last = (await rig.start()).log.peek(app);
  expect(Array.from(last?.links() ?? [], ({ size }) => size)).toEqual([1, 3]);
});

test('a log that is mostly outdated is rewritten, says the same, and keeps what a newer version wrote', async () => {
  const rig = await HostedLogRig.create();
  const first = (await rig.start()).log;
  await first.commit(app, [link(1)]);
  await first.close();
  await appendFile(rig.path(), formatChecksummedLine({ type: 'lock', by: 'a newer version' }));
  const { log } = await rig.start();
  for (let n = 0; n < 400; n += 1)
    await log.commit(app, [
      manifest(n % 5, ['latest', `v${n % 3}`], { at: rig.nowMs + n, names: [20, 21, 22] }),
    ]);
  await log.close();
  const text = await readFile(rig.path(), 'utf8');
  expect(text.split('\n').length).toBeLessThan(350);
  expect(text).toContain('{"type":"lock","by":"a newer version"}');
  const [before, after] = [log.peek(app), (await rig.start()).log.peek(app)];
  if (before === undefined || after === undefined) throw new Error('expected the repository');
  expect(everythingOf(after)).toEqual(everythingOf(before));
  expect((await stat(rig.path())).mode & 0o007).toBe(0);
  expect(after.history(tag('latest')).length).toBeGreaterThanOrEqual(100);
});

test('a repository that is asked for before all logs are read is read at once; a made-up one costs no file', async () => {
  const rig = await HostedLogRig.create();
  const { log } = await rig.start();
  await log.commit(app, [link(1)]);
  const early = rig.startNow().log;
  expect(early.isComplete).toBe(false);
  expect(early.peek(app)).toBeUndefined();
  const [read, none] = await Promise.all([early.readRepository(app), early.readRepository(other)]);
  expect([read?.link(digestNo(1))?.size, none]).toEqual([1, undefined]);
  await early.complete;
  expect([early.isComplete, early.names()]).toEqual([true, [app]]);
});

test('a folder that can not be read closes all that may lie in it', async () => {
  const rig = await HostedLogRig.create();
  const { log } = await rig.start();
  await log.commit(app, [link(1)]);
  const folder = dirname(dirname(rig.path()));
  const find = vi.spyOn(Object.getPrototypeOf(rig.logs), 'find');
  onTestFinished(() => find.mockRestore());
  // As root, no mode of a folder keeps it from being read.
  find.mockImplementation(async function* () {
    yield { kind: 'unreadable', folder: 'team', error: new Error(`EIO: ${folder}`) };
  });
  const again = (await rig.start()).log;
  expect([...again.closed().keys()]).toEqual(['team']);
  await expect(again.readRepository(app)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await expect(again.commit(app, [link(2)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(await again.readRepository(other)).toBeUndefined();
  await chmod(folder, 0o750);
});

test('a store of the version before, without a folder for them, opens with no hosted repository', async () => {
  const rig = await HostedLogRig.create();
  await rm(join(rig.layout.path, 'hosted-v1'), { recursive: true });
  const { log } = await rig.start();
  expect([log.isComplete, log.names(), log.closed().size]).toEqual([true, [], 0]);
  await log.commit(app, [link(1)]);
  expect((await rig.start()).log.names()).toEqual([app]);
});
