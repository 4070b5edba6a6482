/** The cache before one upstream does what every registry reader must do. */
import { onTestFinished } from 'vitest';
import { Links } from '../../src/cached/access/links.ts';
import { Downloads } from '../../src/cached/download/downloads.ts';
import { PullThroughCache } from '../../src/cached/pull-through-cache.ts';
import { Capacity } from '../../src/capacity/capacity.ts';
import { EmbeddedLru } from '../../src/lru/index/embedded-lru.ts';
import { BlobStore } from '../../src/store/blobs/blob-store.ts';
import { Quarantine } from '../../src/store/blobs/quarantine.ts';
import { removePartial } from '../../src/store/ingest/sweep.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import { Records } from '../../src/store/records/records.ts';
import { UpstreamRegistry } from '../../src/upstream/upstream-registry.ts';
import { Recorder } from '../support/recorder.ts';
import { tempDir } from '../support/temp-dir.ts';
import { describeRegistryReader } from './registry-reader.ts';

const timeouts = { connectMs: 3000, firstByteMs: 8000, stallMs: 15_000, giveUpMs: 60_000, minRate: 1024 };

describeRegistryReader('CachedRegistry', async upstream => {
  const { observer, logger } = new Recorder();
  const now = Date.now;
  const layout = await StoreLayout.open(await tempDir());
  const store = new BlobStore({ layout, observer });
  const lru = new EmbeddedLru({ now });
  const records = new Records({ layout, observer, logger });
  const downloads = new Downloads();
  const capacity = new Capacity({
    maxBytes: 1024 ** 3,
    minFreeBytes: 0,
    lowWatermark: 0.9,
    lru,
    observer,
    logger,
    now,
    files: {
      disk: { freeBytes: () => store.freeBytes() },
      downloads,
      unlinkBlob: digest => store.remove(digest),
      unlinkPartial: digest => removePartial({ layout, observer }, digest),
      mayEvict: () => true,
      findPartial: () => Promise.resolve(undefined),
      recordBytes: () => records.bytes,
      unusedRecords: () => ({ isNextBefore: () => false, removeNext: async () => 0, end: () => {} }),
    },
  });
  await capacity.scanned();
  const cache = new PullThroughCache({
    layout,
    store,
    quarantine: new Quarantine({ layout, observer, now, maxBytes: () => 0, counted: () => {} }),
    records,
    links: new Links(),
    downloads,
    room: {
      couldHold: () => true,
      reserve: (bytes, digest) => capacity.reserve(bytes, digest),
      partialLeft: () => {},
    },
    events: {
      touch: digest => lru.touch(digest),
      verified: () => {},
      manifestStored: (_digest, bytes) => capacity.account(bytes),
      removed: digest => lru.remove(digest),
    },
    tags: {
      ttlMs: 60_000,
      checkTimeoutMs: 2000,
      staleIfErrorMs: Number.POSITIVE_INFINITY,
      on404: 'keep',
      negativeTtlMs: 60_000,
    },
    offline: false,
    verifyAfterMs: 0,
    bootId: 'boot-1',
    observer,
    logger,
    now,
    indexedSize: digest => lru.sizeOf(digest),
  });
  const origin = new UpstreamRegistry({
    key: 'docker.io',
    url: new URL(upstream.url),
    insecure: false,
    ip: 'any',
    tokenHosts: [],
    maxTransfers: 64,
    timeouts,
    userAgent: 'cistern/test',
    observer,
    logger,
    now,
  });
  onTestFinished(async () => {
    await cache.close();
    await origin.close();
    await records.close();
    await capacity.close();
  });
  return cache.registry(origin, {
    ...timeouts,
    isPublic: true,
    isGuarded: false,
    finish: 'always',
    allow: [],
    deny: [],
  });
});
