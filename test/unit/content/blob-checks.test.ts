/** When a held file is compared with its digest, by how many readers, and what is remembered of it. */
import { open } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { BlobChecks } from '../../../src/content/blob-checks.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { HeldBlob } from '../../../src/store/blobs/held-blob.ts';
import { patternBlob } from '../../support/content.ts';
import { StoreRig } from '../cached/store-rig.ts';

const dayMs = 86_400_000;
const restMs = 600_000;
const bytes = patternBlob('checked', 2 * 1024 * 1024);

class Rig {
  readonly store: StoreRig;
  readonly checks: BlobChecks;
  readonly verified: Digest[] = [];
  readonly #stop = new AbortController();
  nowMs = Date.now() + 60_000;

  private constructor(store: StoreRig, verifyAfterMs: number) {
    this.store = store;
    this.checks = this.#open(verifyAfterMs);
  }

  static async create(verifyAfterMs = 30 * dayMs): Promise<Rig> {
    const rig = new Rig(await StoreRig.create(), verifyAfterMs);
    await rig.store.store.put(bytes.digest, bytes.slice(0, bytes.size));
    return rig;
  }

  /** As after a restart. */
  fresh(): BlobChecks {
    return this.#open(30 * dayMs);
  }

  stop(): void {
    this.#stop.abort();
  }

  async held(digest: Digest = bytes.digest): Promise<HeldBlob> {
    const held = await this.store.store.open(digest);
    if (held === undefined) throw new Error('expected it to be held');
    onTestFinished(() => held.close());
    return held;
  }

  async damage(): Promise<void> {
    const file = await open(this.store.layout.blobPath(bytes.digest), 'r+');
    await file.write('damage', 1000);
    await file.close();
  }

  #open(verifyAfterMs: number): BlobChecks {
    return new BlobChecks({
      verifyAfterMs,
      badBlobs: this.store.badBlobs,
      signal: this.#stop.signal,
      now: () => this.nowMs,
      events: { verified: digest => this.verified.push(digest) },
    });
  }
}

test('a blob that is not due needs none, and nothing of it is read', async () => {
  const rig = await Rig.create();
  const held = await rig.held();
  rig.nowMs += 29 * dayMs;
  expect(rig.checks.ifNeeded(bytes.digest, held)).toBeUndefined();
  expect(rig.verified).toEqual([]);
});

test('a blob that is due is compared once for all who ask meanwhile, and not again afterwards', async () => {
  const rig = await Rig.create();
  rig.nowMs += 30 * dayMs;
  const [first, second] = [await rig.held(), await rig.held()];
  const check = rig.checks.ifNeeded(bytes.digest, first);
  expect(check).toBeDefined();
  expect(rig.checks.ifNeeded(bytes.digest, second)).toBe(check);
  expect(check?.known).toBeUndefined();
  await first.close(); // the caller that began it may leave
  expect(await check?.result).toBe('good');
  expect([check?.known, rig.verified]).toEqual(['good', [bytes.digest]]);
  expect(rig.checks.ifNeeded(bytes.digest, second)).toBeUndefined();
  rig.nowMs += 30 * dayMs;
  expect(rig.checks.ifNeeded(bytes.digest, second)).toBeDefined();
  await rig.checks.drained();
});

test('what the disk says of the last time counts after a restart', async () => {
  const rig = await Rig.create();
  rig.nowMs += 30 * dayMs;
  await rig.store.store.setVerified(bytes.digest, rig.nowMs);
  rig.nowMs += 29 * dayMs;
  expect(rig.fresh().ifNeeded(bytes.digest, await rig.held())).toBeUndefined();
});

test('a time far in the future is not believed', async () => {
  const rig = await Rig.create();
  await rig.store.store.setVerified(bytes.digest, rig.nowMs + 2 * dayMs);
  expect(await rig.fresh().ifNeeded(bytes.digest, await rig.held())?.result).toBe('good');
});

test('0: never by age, and yet when a caller has a reason', async () => {
  const rig = await Rig.create(0);
  const held = await rig.held();
  rig.nowMs += 10_000 * dayMs;
  expect(rig.checks.ifNeeded(bytes.digest, held)).toBeUndefined();
  expect(await rig.checks.unlessRecent(bytes.digest, held, restMs)?.result).toBe('good');
  expect(rig.checks.unlessRecent(bytes.digest, held, restMs)).toBeUndefined();
  rig.nowMs += restMs;
  expect(rig.checks.unlessRecent(bytes.digest, held, restMs)).toBeDefined();
  await rig.checks.drained();
});

test('wrong bytes: the file is out of the way when the result is there', async () => {
  const rig = await Rig.create();
  await rig.damage();
  rig.nowMs += 30 * dayMs;
  const [held, late] = [await rig.held(), await rig.held()];
  expect(await rig.checks.ifNeeded(bytes.digest, held)?.result).toBe('bad');
  expect(await rig.store.store.sizeOf(bytes.digest)).toBeUndefined();
  expect(await rig.checks.ifNeeded(bytes.digest, late)?.result).toBe('bad'); // opened before, asked after
  expect(rig.store.recorder.of('storeError')).toEqual(['storeError verify']);
  expect(rig.store.stored).toEqual([`${bytes.digest} ${-bytes.size} blob`]);
  expect(rig.verified).toEqual([]);
});

test('another file that has come under the same digest is not touched by what is found', async () => {
  const rig = await Rig.create();
  await rig.damage();
  rig.nowMs += 30 * dayMs;
  const old = await rig.held();
  await rig.store.store.remove(bytes.digest);
  await rig.store.store.put(bytes.digest, bytes.slice(0, bytes.size));
  expect(await rig.checks.ifNeeded(bytes.digest, old)?.result).toBe('bad');
  expect(await rig.store.store.sizeOf(bytes.digest)).toBe(bytes.size);
  expect(await rig.checks.ifNeeded(bytes.digest, await rig.held())?.result).toBe('good');
});

test('many large blobs: all are compared, also those that have to wait', async () => {
  const rig = await Rig.create();
  const blobs = Array.from({ length: 9 }, (_, n) => patternBlob(`checked ${n}`, 1_100_000));
  for (const blob of blobs) await rig.store.store.put(blob.digest, blob.slice(0, blob.size));
  rig.nowMs += 30 * dayMs;
  const checks = await Promise.all(
    blobs.map(async ({ digest }) => rig.checks.ifNeeded(digest, await rig.held(digest))),
  );
  const results = await Promise.all(checks.map(check => check?.result));
  expect(results).toEqual(blobs.map(() => 'good'));
});

test('shutdown ends it, and says nothing about the file', async () => {
  const rig = await Rig.create();
  await rig.damage();
  rig.nowMs += 30 * dayMs;
  const check = rig.checks.ifNeeded(bytes.digest, await rig.held());
  rig.stop();
  await rig.checks.drained();
  expect(check?.known).toBe('stopped');
  expect(await rig.store.store.sizeOf(bytes.digest)).toBe(bytes.size);
});
