/**
 * The LRU index alone with a million blobs, in a process of its own: `node million-index.js BLOBS [REDIS_PORT]`. Digests
 * come from a generator instead of a scan. Prints what it measured as JSON (`index-figures.ts`).
 */
import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type FoundBlob, rebuildLru } from '../../../src/lru/index/rebuild.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import type { IndexFigures, Step } from './index-figures.ts';
import { type MeasuredIndex, openEmbeddedIndex } from './measured-index.ts';
import { TurnWatch } from './turn-watch.ts';

const touches = 1_000_000;
const evicted = 10_000;

const [, , count, port] = process.argv;
const blobs = Number(count);
if (!Number.isSafeInteger(blobs) || blobs <= evicted)
  throw new Error(`expected more blobs than ${evicted}, got ${count}`);
const watch = new TurnWatch();
const index = await openIndex();
const { lru } = index;

const load = await measure(() =>
  rebuildLru({
    scan: generateBlobs(),
    isManifest: () => false,
    lru,
    now: () => performance.now(),
    signal: new AbortController().signal,
  }),
);
const fill = await measure(() => index.settle());
const some = Array.from({ length: 1000 }, (_, n) => digestAt((n * 101) % blobs));
const touch = await measure(touchAll);
const tell = await measure(() => index.settle());
const evict = await measure(evictColdest);
await index.settle();
index.doubt();
const compare = await measure(() => index.settle());
const peakBytes = readPeakBytes();
const figures: IndexFigures = { load, fill, touch, tell, evict, compare, touches, evicted, peakBytes };
process.stdout.write(`${JSON.stringify(figures)}\n`);
await index.close();

async function openIndex(): Promise<MeasuredIndex> {
  if (port === undefined) return openEmbeddedIndex();
  const { openRedisIndex } = await import('./redis-index.ts');
  return openRedisIndex(Number(port));
}

async function measure(work: () => Promise<unknown>): Promise<Step> {
  watch.restart();
  const since = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return {
    seconds: (performance.now() - since) / 1000,
    cpuSeconds: (user + system) / 1e6,
    longestMs: watch.longestMs,
  };
}

function digestAt(n: number): Digest {
  return digestOf(Buffer.from(String(n)));
}

/** Mtimes a second apart, in no order. */
async function* generateBlobs(): AsyncGenerator<FoundBlob> {
  for (let n = 0; n < blobs; n += 1) {
    if (n % 64 === 0) await nextTurn();
    yield { digest: digestAt(n), size: 1000 + n, mtimeMs: Date.now() - ((n * 7919) % blobs) * 1000 };
  }
}

async function touchAll(): Promise<void> {
  for (let n = 0; n < touches; n += some.length) {
    for (const digest of some) lru.touch(digest);
    await nextTurn();
  }
}

async function evictColdest(): Promise<void> {
  for (let gone = 0; gone < evicted; ) {
    for (const { digest } of await lru.coldest(16)) {
      lru.remove(digest);
      gone += 1;
    }
    await nextTurn(); // an unlink lets others have their turn too
  }
}

function readPeakBytes(): number {
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  if (found === null) throw new Error('expected VmHWM in /proc/self/status');
  return Number(found[1]) * 1024;
}
