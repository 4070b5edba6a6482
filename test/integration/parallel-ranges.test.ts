/** One big blob over a long line: several closed ranges at once, disjoint, of one redirect target; else always one. */
import { expect, test } from 'vitest';
import { Download } from '../../src/cached/download/download.ts';
import { SourceList } from '../../src/cached/download/resume.ts';
import type { BlobSource } from '../../src/registry/registry.ts';
import { patternBlob } from '../support/content.ts';
import { answer, cut } from '../support/faults.ts';
import { blobLine } from '../support/request-log.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';
import { HandClock } from '../unit/cached/rig.ts';
import { IngestRig } from '../unit/store/ingest-rig.ts';
import { alpine, connect } from '../unit/upstream/rig.ts';

const mebibyte = 1024 * 1024;
const size = 100 * mebibyte + 12_345;
const blob = patternBlob('parallel', size);
/** A sixteenth, between 4 and 16 MiB. */
/** A sixteenth, between 4 and 16 MiB. */
const firstPiece = `bytes=0-${Math.ceil(size / 16) - 1}`;

interface Line {
  /** As if that were measured. Milliseconds. */
  readonly roundTripMs?: number | 'unknown';
  readonly parallel?: boolean;
  readonly fake?: FakeUpstreamOptions;
  readonly content?: typeof blob;
}

/** A download over a real upstream and a real store; the clock stands, so that more connections always seem to be faster. */
async function download({
  roundTripMs = 20,
  parallel = true,
  fake = { redirect: { uses: 100 } },
  content = blob,
}: Line = {}) {
  const upstream = await startFakeUpstream(fake);
  upstream.putBlob('library/alpine', content.digest, content);
  const rig = await IngestRig.create();
  const source: BlobSource = connect(upstream.url).registry.blobSource(alpine, content.digest);
  const transfer = new Download({
    digest: content.digest,
    expectedSize: content.size,
    sources: new SourceList([
      { ...source, parallel, roundTripMs: () => (roundTripMs === 'unknown' ? undefined : roundTripMs) },
    ]),
    policy: { stallMs: 60_000, giveUpMs: 60_000, minRate: 1024 },
    finish: 'always',
    observer: rig.recorder.observer,
    logger: rig.recorder.logger,
    signal: new AbortController().signal,
    now: new HandClock().now,
    isHeld: async () => false,
    room: {
      couldHold: () => true,
      reserve: async bytes => ({
        bytes,
        grow: async () => true,
        makeRoom: async () => false,
        settle: () => {},
        keepPartial: () => {},
        release: () => {},
      }),
    },
    openIngest: onFollowers => rig.open(content.digest, 'boot-1', onFollowers),
    onMismatch: () => {},
  });
  transfer.requestWhole();
  return { upstream, rig, run: () => transfer.run() };
}

type Upstream = Awaited<ReturnType<typeof startFakeUpstream>>;

/** Closed ranges, sorted, that follow upon each other from the first byte to the last. */
function expectDisjoint(upstream: Upstream): void {
  const spans = upstream.requests
    .filter(entry => entry.host === 'storage' && entry.status === 206)
    .map(
      entry =>
        /^bytes=(\d+)-(\d+)$/
          .exec(entry.range ?? '')
          ?.slice(1)
          .map(Number) ?? [],
    )
    .sort(([a = 0], [b = 0]) => a - b);
  const afterLasts = [0, ...spans.map(([, last = -1]) => last + 1)];
  expect([...spans.map(([first]) => first), size]).toEqual(afterLasts);
  expect(upstream.contentBytes('blob')).toBe(size);
}

test('several closed ranges of one redirect target, while the first piece is still on its way: every byte once', async () => {
  const { upstream, rig, run } = await download();
  const gate = upstream.holdAfter({ digest: blob.digest }, 6 * mebibyte);
  const running = run();
  await gate.reached;
  await upstream.log.until(entries => entries.filter(entry => entry.host === 'storage').length >= 4);
  gate.release();
  await running;
  expect(await rig.store.sizeOf(blob.digest)).toBe(size);
  expect(upstream.lines({ host: 'registry' })).toEqual([blobLine(blob.digest, firstPiece)]);
  expectDisjoint(upstream);
});

test('a target that is not answered any more: the registry is asked anew', async () => {
  const { upstream, rig, run } = await download({ fake: { redirect: { uses: 1 } } });
  await run();
  expect(await rig.store.sizeOf(blob.digest)).toBe(size);
  expect(upstream.lines({ host: 'registry' }).length).toBeGreaterThan(1);
  expectDisjoint(upstream);
});

test('a piece that is refused or cut: one transfer gets what is left', async () => {
  const { upstream, rig, run } = await download({ fake: {} });
  upstream.fault({ digest: blob.digest }, answer(404), { nth: 3 });
  upstream.fault({ digest: blob.digest }, cut(3 * mebibyte), { nth: 2 });
  await run();
  expect(await rig.store.sizeOf(blob.digest)).toBe(size);
  expect(upstream.contentBytes('blob')).toBeLessThanOrEqual(size * 1.05); // a cut loses what came with it
});

test.each<[string, Line, string | undefined]>([
  ['a short line', { roundTripMs: 4.9 }, undefined],
  ['a line that was never measured', { roundTripMs: 'unknown' }, undefined],
  ['a source that says so', { parallel: false }, undefined],
  ['a blob below 32 MiB', { content: patternBlob('not so big', 31 * mebibyte) }, undefined],
  ['a source that knows no ranges', { fake: { quirks: { noRange: true } } }, firstPiece],
])('%s has one transfer', async (_what, line, range) => {
  const { upstream, rig, run } = await download({ fake: {}, ...line });
  const { digest, size: length } = line.content ?? blob;
  await run();
  expect(await rig.store.sizeOf(digest)).toBe(length);
  expect(upstream.lines()).toEqual([blobLine(digest, range)]);
  expect(upstream.contentBytes('blob')).toBe(length);
});
