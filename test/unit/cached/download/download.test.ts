/** One transfer into one real ingest: how its sources are opened, what becomes of its bytes, and what is left on disk. */
import { expect, test } from 'vitest';
import { Download, type DownloadOptions } from '../../../../src/cached/download/download.ts';
import { SourceList } from '../../../../src/cached/download/resume.ts';
import type { Reservation } from '../../../../src/capacity/room.ts';
import type { Ingest } from '../../../../src/store/ingest/ingest.ts';
import { MismatchError, NoRoomError, StoreError } from '../../../../src/store/store-error.ts';
import { type BlobContent, patternBlob } from '../../../support/content.ts';
import { Gate } from '../../../support/gates.ts';
import { drain, fill, IngestRig, large, small } from '../../store/ingest-rig.ts';
import { type Act, fails, gives, HandClock, isPending, ScriptedSource } from '../rig.ts';

/** Room that a test may limit, with notes of what became of it. */
class TestRoom implements Reservation {
  bytes = 0;
  /** More than so many bytes are refused. */
  limit = Number.POSITIVE_INFINITY;
  readonly events: string[] = [];
  mayFree = false;

  couldHold(bytes: number): boolean {
    return bytes <= this.limit - this.bytes;
  }

  async reserve(bytes: number): Promise<Reservation | undefined> {
    this.events.push(`reserve ${bytes}`);
    if (bytes > this.limit) return undefined;
    this.bytes = bytes;
    return this;
  }

  async grow(extra: number): Promise<boolean> {
    if (this.bytes + extra > this.limit) return false;
    this.bytes += extra;
    return true;
  }

  async makeRoom(): Promise<boolean> {
    this.events.push('make room');
    return this.mayFree;
  }

  settle(_digest: string, size: number): void {
    this.#end(`settle ${size}`);
  }

  keepPartial(_digest: string, bytes: number): void {
    this.#end(`keep ${bytes}`);
  }

  release(): void {
    this.#end('release');
  }

  /** Only the first end counts: the others are without effect, as in the contract. */
  #end(event: string): void {
    if (!this.events.some(one => /^(?:settle|keep|release)/.test(one))) this.events.push(event);
  }
}

interface Setting extends Partial<DownloadOptions> {
  readonly content?: BlobContent;
  readonly rig?: IngestRig;
  readonly room?: TestRoom;
  /** False: nothing is requested yet. */
  readonly isWhole?: boolean;
}

async function download(scripts: readonly (readonly Act[])[], setting: Setting = {}) {
  const { content = large, rig: given, room = new TestRoom(), isWhole = true, ...options } = setting;
  const rig = given ?? (await IngestRig.create());
  const opens: string[] = [];
  const mismatches: string[] = [];
  const sources = scripts.map(
    (script, index) => new ScriptedSource('abc'.charAt(index), content, opens, script),
  );
  const clock = new HandClock();
  const { digest } = content;
  const transfer = new Download({
    digest,
    expectedSize: content.size,
    sources: new SourceList(sources),
    policy: { stallMs: 60_000, giveUpMs: 60_000, minRate: 1024 },
    finish: 'always',
    observer: rig.recorder.observer,
    logger: rig.recorder.logger,
    signal: new AbortController().signal,
    now: clock.now,
    isHeld: async () => false,
    room,
    openIngest: onFollowers => rig.open(digest, 'boot-1', onFollowers),
    onMismatch: () => mismatches.push('mismatch'),
    ...options,
  });
  if (isWhole) transfer.requestWhole();
  return { rig, opens, clock, transfer, room, mismatches };
}

async function ingestOf(transfer: Download): Promise<Ingest> {
  const opened = await transfer.opened;
  if (typeof opened === 'string') throw new Error(`expected an ingest, got ${opened}`);
  return opened;
}

/** A client that follows from the first moment. */
async function follow(transfer: Download) {
  const ingest = await ingestOf(transfer);
  const follower = ingest.follow();
  const drained = drain(follower);
  return { ingest, follower, drained };
}

test('a blob comes once, goes to all who follow, and is in its place afterwards', async () => {
  const { rig, transfer, opens, room } = await download([[]]);
  const running = transfer.run();
  const clients = await Promise.all([follow(transfer), follow(transfer), follow(transfer)]);
  await running;
  for (const { drained } of clients)
    expect((await drained).bytes.equals(large.slice(0, large.size))).toBe(true);
  expect(opens).toEqual(['a 0-']);
  expect(await rig.store.sizeOf(large.digest)).toBe(large.size);
  expect(await rig.ingestFiles()).toEqual([]);
  expect(room.events).toEqual([`reserve ${large.size}`, `settle ${large.size}`]);
  expect(rig.recorder.events).toEqual([`downloadStarted a ${large.digest}`, 'downloadEnded a']);
  expect(transfer.isVerified).toBe(true);
});

test('without a descriptor the size comes from the source, and room is taken when the first bytes are there', async () => {
  const { transfer, room } = await download([[]], { expectedSize: undefined });
  const running = transfer.run();
  const { drained, ingest } = await follow(transfer);
  await running;
  expect((await drained).error).toBeUndefined();
  expect(ingest.size).toBe(large.size);
  expect(room.events).toEqual([`reserve ${large.size}`, `settle ${large.size}`]);
});

test('where the source hides the size, room is taken in steps', async () => {
  const { transfer, room, rig } = await download([[gives({ size: undefined })]], { expectedSize: undefined });
  await transfer.run();
  expect(room.events).toEqual([`reserve ${16 * 1024 * 1024}`, `settle ${large.size}`]);
  expect(await rig.store.sizeOf(large.digest)).toBe(large.size);
});

test('what came meanwhile is not fetched', async () => {
  const { transfer, opens, rig } = await download([[]], { isHeld: async () => true });
  await transfer.run();
  expect(await transfer.opened).toBe('held');
  expect([opens, await rig.ingestFiles()]).toEqual([[], []]);
});

test('a size that only a manifest claims takes no room: the source has to say it', async () => {
  const room = new TestRoom();
  room.limit = large.size - 1;
  const { transfer, opens, rig } = await download([[]], { room });
  const running = transfer.run();
  await ingestOf(transfer);
  expect(room.events).toEqual([]);
  await running;
  expect([opens, room.events, await rig.ingestFiles()]).toEqual([['a 0-'], [`reserve ${large.size}`], []]);
});

test.each<[string, Setting]>([
  ['cannot be written', { openIngest: () => Promise.reject(new StoreError('open', 'EROFS', 'read-only')) }],
  ['cannot be read', { isHeld: () => Promise.reject(new StoreError('open', 'EIO', 'broken')) }],
])('a store that %s means passing the blob through, not failing', async (_what, options) => {
  const { transfer, room, opens } = await download([[]], options);
  await transfer.run();
  expect(await transfer.opened).toBe('no-room');
  expect(opens).toEqual([]);
  expect(room.events.filter(event => !event.startsWith('reserve')).join()).toMatch(/^(?:release)?$/);
});

test('the partial of an earlier try is continued', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  before.setSize(large.size);
  await fill(before, large, 0, 1_500_000);
  await before.suspend(new Error('earlier'));
  const { transfer, opens } = await download([[]], { rig });
  const running = transfer.run();
  const { drained } = await follow(transfer);
  await running;
  expect((await drained).bytes.equals(large.slice(0, large.size))).toBe(true);
  expect(opens).toEqual(['a 1500000-']);
});

test('a full partial asks no source', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  before.setSize(large.size);
  await fill(before, large);
  await before.suspend(new Error('earlier'));
  const { transfer, opens } = await download([[]], { rig });
  await transfer.run();
  expect(opens).toEqual([]);
  expect(await rig.store.sizeOf(large.digest)).toBe(large.size);
});

test('that all bytes are here is written down before they are compared: a crash then asks no source', async () => {
  const gate = new Gate();
  const { transfer, rig } = await download([[gives({ beforeChunk: () => gate.pass() })]]);
  const running = transfer.run();
  const ingest = await ingestOf(transfer);
  const verify = ingest.verify.bind(ingest);
  let journal: object = {};
  ingest.verify = async () => {
    journal = await rig.journal(large.digest);
    return verify();
  };
  gate.release();
  await running;
  expect(journal).toMatchObject({ size: large.size, written: [[0, large.size]] });
});

test('a partial that was begun with another size starts over', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  before.setSize(large.size + 5);
  await fill(before, large, 0, 1_500_000);
  await before.suspend(new Error('earlier'));
  const { transfer, opens } = await download([[]], { rig });
  await transfer.run();
  expect(opens).toEqual(['a 0-']);
});

test('a partial of wrong bytes is found out and fetched anew, and a waiting client sees the right ones', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  before.setSize(large.size);
  const gate = new Gate();
  await fill(before, patternBlob('wrong', large.size), 0, 1_000_000);
  await before.suspend(new Error('earlier'));
  const { transfer, opens } = await download([[gives({ beforeChunk: () => gate.pass() })]], { rig });
  const running = transfer.run();
  const ingest = await ingestOf(transfer);
  const follower = ingest.follow();
  gate.release();
  await running;
  expect((await drain(follower)).bytes.equals(large.slice(0, large.size))).toBe(true);
  expect(opens).toEqual(['a 1000000-', 'a 0-']);
});

test('a damaged partial is the fault of the disk: the source is not blamed for it, and is asked before the next one', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  before.setSize(large.size);
  await fill(before, patternBlob('wrong', large.size), 0, 1_000_000);
  await before.suspend(new Error('earlier'));
  await before.release();
  const { transfer, opens } = await download([[], []], { rig });
  await transfer.run();
  expect(opens).toEqual(['a 1000000-', 'a 0-']);
  expect(rig.recorder.of('digestMismatch')).toEqual([]);
  expect(rig.recorder.of('storeError')).toEqual(['storeError verify']);
  expect(await rig.store.sizeOf(large.digest)).toBe(large.size);
});

test('a wrong small blob is asked for again; its client sees only the right one', async () => {
  const wrong = gives({ content: patternBlob('wrong', small.size) });
  const { transfer, opens, mismatches, rig } = await download([[wrong]], { content: small });
  const running = transfer.run();
  const { drained } = await follow(transfer);
  await running;
  expect((await drained).bytes).toEqual(small.slice(0, small.size));
  expect(opens).toEqual(['a 0-', 'a 0-']);
  expect(mismatches).toEqual(['mismatch']);
  expect(rig.recorder.of('digestMismatch')).toEqual(['digestMismatch a']);
});

test('a source that is wrong twice is given up, and nothing is kept', async () => {
  const wrong = gives({ content: patternBlob('wrong', small.size) });
  const { transfer, opens, rig, room } = await download([[wrong, wrong, wrong]], { content: small });
  const running = transfer.run();
  const { drained, ingest } = await follow(transfer);
  const ready = transfer.ready(ingest);
  await expect(ready).rejects.toBeInstanceOf(MismatchError);
  await running;
  expect(await drained).toMatchObject({ bytes: Buffer.alloc(0), error: { name: 'MismatchError' } });
  expect(opens).toEqual(['a 0-', 'a 0-']);
  expect([await rig.ingestFiles(), await rig.store.sizeOf(small.digest)]).toEqual([[], undefined]);
  expect(room.events.at(-1)).toBe('release');
});

test('after wrong bytes the next source is asked', async () => {
  const wrong = gives({ content: patternBlob('wrong', small.size) });
  const { transfer, opens, rig } = await download([[wrong], []], { content: small });
  await transfer.run();
  expect(opens).toEqual(['a 0-', 'b 0-']);
  expect(await rig.store.sizeOf(small.digest)).toBe(small.size);
});

test('a client that has been given wrong bytes is cut before the last one; who has none waits for the right ones', async () => {
  const gate = new Gate();
  const wrong = gives({
    content: patternBlob('wrong', large.size),
    beforeChunk: at => (at > 1_900_000 ? gate.pass() : undefined),
  });
  const { transfer, opens } = await download([[wrong]]);
  const running = transfer.run();
  const ingest = await ingestOf(transfer);
  const [cut, waiting] = [ingest.follow(), ingest.follow()];
  await gate.reached;
  await cut.read(Buffer.alloc(10), 0);
  const rest = drain(cut, 10);
  gate.release();
  await running;
  const { bytes, error } = await rest;
  expect(error).toBeInstanceOf(MismatchError);
  expect(bytes.length).toBeLessThan(large.size);
  expect((await drain(waiting)).bytes.equals(large.slice(0, large.size))).toBe(true);
  expect(opens).toEqual(['a 0-', 'a 0-']);
});

test('when all who wait have wrong bytes already, one source is not asked twice', async () => {
  const wrong = gives({ content: patternBlob('wrong', large.size) });
  const { transfer, opens, rig } = await download([[wrong]]);
  const running = transfer.run();
  const { ingest, follower, drained } = await follow(transfer);
  await running;
  await drained;
  await follower.close();
  expect([opens, ingest.verified, await rig.ingestFiles()]).toEqual([['a 0-'], false, []]);
});

test('a source with a blob of another length gives way to the next; nothing of it is kept', async () => {
  const { transfer, opens, rig, mismatches } = await download([
    [gives({ content: patternBlob('longer', large.size + 9), size: large.size + 9 })],
    [],
  ]);
  await transfer.run();
  expect([opens, mismatches]).toEqual([['a 0-', 'b 0-'], []]);
  expect(await rig.store.sizeOf(large.digest)).toBe(large.size);
});

test('an upstream that fails before the first byte leaves nothing on disk', async () => {
  const { transfer, rig, room } = await download([[fails('unreachable')]]);
  const running = transfer.run();
  const { drained, ingest } = await follow(transfer);
  const ready = transfer.ready(ingest);
  await expect(ready).rejects.toMatchObject({ failure: 'unreachable' });
  await running;
  expect(await drained).toMatchObject({ error: { failure: 'unreachable' } });
  expect(await rig.ingestFiles()).toEqual([]);
  expect(room.events).toEqual([]);
});

test('an upstream that is given up in the middle leaves its partial, and the next try goes on there', async () => {
  const first = await download([[gives({ after: 1_500_000 }), fails('gone')]]);
  const running = first.transfer.run();
  const { drained } = await follow(first.transfer);
  await running;
  expect(await drained).toMatchObject({ error: { failure: 'gone' } });
  expect(first.room.events.at(-1)).toBe('keep 1500000');
  const second = await download([[]], { rig: first.rig });
  await second.transfer.run();
  expect(second.opens).toEqual(['a 1500000-']);
});

test('a shutdown keeps the partial', async () => {
  const controller = new AbortController();
  const { transfer, rig, room } = await download([[gives({ after: 1_500_000, ending: 'stall' })]], {
    signal: controller.signal,
  });
  const running = transfer.run();
  const { ingest } = await follow(transfer);
  while (ingest.front < 1_500_000) await ingest.change;
  controller.abort(new Error('shutting down'));
  await running;
  expect(await rig.journal(large.digest)).toMatchObject({ synced: [[0, 1_500_000]] });
  expect(room.events.at(-1)).toBe('keep 1500000');
});

test('it goes on when its clients have left, and says then that no client waits', async () => {
  const gate = new Gate();
  const { transfer, opens, rig } = await download([
    [gives({ after: 1_500_000, beforeChunk: at => (at > 1_000_000 ? gate.pass() : undefined) })],
  ]);
  const running = transfer.run();
  const { follower } = await follow(transfer);
  await gate.reached;
  await follower.close();
  gate.release();
  await running;
  expect(opens).toEqual(['a 0-', 'a 1500000- background']);
  expect(await rig.store.sizeOf(large.digest)).toBe(large.size);
});

test('with finish: never it ends with its last client and keeps the partial', async () => {
  const { transfer, opens, room } = await download([[gives({ after: 1_500_000, ending: 'stall' })]], {
    finish: 'never',
  });
  const running = transfer.run();
  const [first, second] = [await follow(transfer), await follow(transfer)];
  while (first.ingest.front < 1_500_000) await first.ingest.change;
  await first.follower.close();
  expect(await isPending(running)).toBe(true);
  await second.follower.close();
  await running;
  expect(opens).toEqual(['a 0-']);
  expect(room.events.at(-1)).toBe('keep 1500000');
});

test('without room for more, clients drain what is there and go on by themselves', async () => {
  const room = new TestRoom();
  room.limit = 16 * 1024 * 1024;
  const content = patternBlob('too long', 17 * 1024 * 1024);
  const { transfer, rig, opens } = await download([[gives({ size: undefined, chunkBytes: 1024 * 1024 })]], {
    room,
    content,
    expectedSize: undefined,
  });
  const running = transfer.run();
  const { drained } = await follow(transfer);
  await running;
  const { bytes, error } = await drained;
  expect(error).toBeInstanceOf(NoRoomError);
  expect(error).toMatchObject({ front: 16 * 1024 * 1024 });
  expect(bytes.equals(content.slice(0, bytes.length))).toBe(true);
  expect(transfer.takeHandoff()).toBeUndefined();
  expect([opens, await rig.ingestFiles(), room.events.at(-1)]).toEqual([['a 0-'], [], 'release']);
});

test('without room for the first byte, the transfer under way goes to one client, once', async () => {
  const room = new TestRoom();
  room.limit = 10;
  const { transfer, opens } = await download([[]], { room, expectedSize: undefined });
  const running = transfer.run();
  const { drained } = await follow(transfer);
  expect((await drained).error).toMatchObject({ name: 'NoRoomError', front: 0 });
  await running;
  const handoff = transfer.takeHandoff();
  expect(transfer.takeHandoff()).toBeUndefined();
  if (handoff === undefined) throw new Error('expected a transfer');
  let at = 0;
  for await (const chunk of handoff.chunks) {
    expect(chunk.at).toBe(at);
    expect(chunk.bytes.equals(large.slice(at, at + chunk.bytes.length))).toBe(true);
    at += chunk.bytes.length;
  }
  expect([at, opens]).toEqual([large.size, ['a 0-']]);
});

test('a transfer under way that no client takes is ended', async () => {
  const room = new TestRoom();
  room.limit = 10;
  const ended: string[] = [];
  const { transfer } = await download([[gives({ onEnd: () => ended.push('ended') })]], {
    room,
    expectedSize: undefined,
  });
  const running = transfer.run();
  const { follower, drained } = await follow(transfer);
  await running;
  await drained;
  expect(ended).toEqual([]);
  await follower.close();
  while (ended.length === 0) await isPending(running);
  expect(transfer.takeHandoff()).toBeUndefined();
});

/** The next write meets this. */
function failWrite(ingest: Ingest, code: string): void {
  const write = ingest.write.bind(ingest);
  ingest.write = async () => {
    ingest.write = write;
    throw new StoreError('write', code, 'injected');
  };
}

test.each([
  ['full, and room can be made: it goes on', 'ENOSPC', true, ['make room', `settle ${large.size}`]],
  [
    'full, and there is no room to make: clients go on by themselves',
    'ENOSPC',
    false,
    ['make room', 'release'],
  ],
  ['broken: nothing is removed for it, clients go on by themselves', 'EIO', true, ['release']],
])('a disk that is %s', async (_what, code, mayFree, events) => {
  const room = new TestRoom();
  room.mayFree = mayFree;
  const gate = new Gate();
  const { transfer, opens } = await download(
    [[gives({ beforeChunk: at => (at > 1_000_000 ? gate.pass() : undefined) })]],
    { room },
  );
  const running = transfer.run();
  const { ingest, drained } = await follow(transfer);
  await gate.reached;
  failWrite(ingest, code);
  gate.release();
  await running;
  const goesOn = events.at(-1) !== 'release';
  expect((await drained).error).toEqual(goesOn ? undefined : expect.any(NoRoomError));
  expect(room.events.slice(1)).toEqual(events);
  expect(opens).toEqual(['a 0-']);
});

test('headers may go out for a large blob as soon as a source has answered', async () => {
  const gate = new Gate();
  const { transfer } = await download([[gives({ beforeChunk: () => gate.pass() })]]);
  const running = transfer.run();
  const ingest = await ingestOf(transfer);
  await transfer.ready(ingest);
  expect(ingest.front).toBe(0);
  gate.release();
  await running;
});

test('headers of a small blob go out when all of it is right', async () => {
  const gate = new Gate();
  const { transfer } = await download([[gives({ beforeChunk: () => gate.pass() })]], { content: small });
  const running = transfer.run();
  const ingest = await ingestOf(transfer);
  const ready = transfer.ready(ingest).then(() => ingest.verified);
  await gate.reached;
  expect(await isPending(ready)).toBe(true);
  gate.release();
  expect(await ready).toBe(true);
  await running;
});

/** Requests a closed range instead of the whole. */
async function ranged(script: readonly Act[], from: number, end: number, rig?: IngestRig) {
  const started = await download([script], {
    expectedSize: undefined,
    isWhole: false,
    ...(rig === undefined ? {} : { rig }),
  });
  const { transfer } = started;
  expect(transfer.enter()).toBe(true);
  const running = transfer.run();
  await transfer.opened;
  const request = transfer.requestRange(from, end, transfer.sources.current());
  transfer.leave();
  if (request === undefined) throw new Error('expected an ingest');
  return { ...started, running, request };
}

test('a range brings its own bytes, takes room for them only, and leaves them as a partial', async () => {
  const { request, running, opens, room, rig } = await ranged([], 1_000_000, 1_500_000);
  expect(request.isMiss).toBe(true);
  await request.ready();
  await running;
  const into = Buffer.alloc(1000);
  expect(await request.follower.read(into, 1_499_000)).toBe(1000);
  expect(into.equals(large.slice(1_499_000, 1_500_000))).toBe(true);
  expect([opens, room.events]).toEqual([['a 1000000-1499999'], ['reserve 500000', 'keep 500000']]);
  expect(await rig.journal(large.digest)).toMatchObject({
    size: large.size,
    written: [[1_000_000, 1_500_000]],
  });
  await request.follower.close();
});

test('a range that is on disk asks no source', async () => {
  const first = await ranged([], 1_000_000, 1_500_000);
  await first.running;
  await first.request.follower.close();
  const second = await ranged([], 1_100_000, 1_200_000, first.rig);
  await second.running;
  expect([second.request.isMiss, second.opens]).toEqual([false, []]);
  expect(await second.request.follower.read(Buffer.alloc(10), 1_100_000)).toBe(10);
});

test('a range that cannot be had fails its client at once, and leaves nothing', async () => {
  const { request, running, opens, rig } = await ranged([fails('gone')], 1_000_000, 1_500_000);
  await expect(request.ready()).rejects.toMatchObject({ failure: 'gone' });
  await expect(request.follower.read(Buffer.alloc(10), 1_000_000)).rejects.toMatchObject({ failure: 'gone' });
  await running;
  expect([opens, await rig.ingestFiles()]).toEqual([['a 1000000-1499999'], []]);
});

test('a source whose blob has another length than the partial: the partial goes', async () => {
  const first = await ranged([], 1_000_000, 1_500_000);
  await first.running;
  await first.request.follower.close();
  const other = await ranged([gives({ size: large.size + 9 })], 0, 1000, first.rig);
  await expect(other.request.ready()).rejects.toMatchObject({ failure: 'mismatch' });
  await other.running;
  expect(await first.rig.ingestFiles()).toEqual([]);
});
