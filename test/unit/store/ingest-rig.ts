/**
 * Ingests over real files: a store in a temporary folder, opened again as often as a test likes, the way a restarted
 * process would find it.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Digest } from '../../../src/oci/digest.ts';
import { BlobStore } from '../../../src/store/blobs/blob-store.ts';
import type { Follower } from '../../../src/store/ingest/follower.ts';
import { Ingest } from '../../../src/store/ingest/ingest.ts';
import { WindowBudget } from '../../../src/store/ingest/window.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { type BlobContent, patternBlob } from '../../support/content.ts';
import { Recorder } from '../../support/recorder.ts';
import { filesUnder, tempDir } from '../../support/temp-dir.ts';

export const mebibyte = 1024 * 1024;
/** Small enough to be verified before its first byte goes out. */
export const small = patternBlob('small', 3000);
/** Large enough to be followed while it grows. */
export const large = patternBlob('large', 2 * mebibyte + 777);

export class IngestRig {
  /** May be replaced before `open`. */
  windows = new WindowBudget({ bytesOfOne: 8 * mebibyte, bytesOfAll: 64 * mebibyte });
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly recorder = new Recorder();
  /** What `onFollowers` was told, in order. */
  readonly counts: number[] = [];

  private constructor(layout: StoreLayout) {
    this.layout = layout;
    this.store = new BlobStore({ layout, observer: this.recorder.observer });
  }

  static async create(): Promise<IngestRig> {
    return new IngestRig(await StoreLayout.open(await tempDir()));
  }

  /** For the running test, which may release it earlier. `bootId` as `readBootId` would tell it. */
  async open(
    digest: Digest,
    bootId = 'boot-1',
    onFollowers: (count: number) => void = count => this.counts.push(count),
  ): Promise<Ingest> {
    const { layout, store } = this;
    const ingest = await Ingest.open({
      digest,
      source: 'docker.io/library/alpine',
      partPath: layout.partPath(digest),
      journalPath: layout.journalPath(digest),
      tempPath: () => layout.tempPath(),
      bootId,
      windows: this.windows,
      observer: this.recorder.observer,
      commit: handle => store.commit(digest, handle),
      onFollowers,
    });
    onTestFinished(async () => {
      while (ingest.isOpen) await ingest.release();
    });
    return ingest;
  }

  async journal(digest: Digest): Promise<Record<string, unknown>> {
    return JSON.parse(await readFile(this.layout.journalPath(digest), 'utf8'));
  }

  /** Names in `ingest-v1/`. */
  ingestFiles(): Promise<string[]> {
    return filesUnder(this.layout.ingestFolder);
  }

  /** How many descriptors of this process stand on a file of this store, also on a removed one. */
  async openFiles(): Promise<number> {
    const descriptors = await readdir('/proc/self/fd');
    const targets = await Promise.all(
      descriptors.map(name => readlink(join('/proc/self/fd', name)).catch(() => '')),
    );
    return targets.filter(target => target.startsWith(this.layout.path)).length;
  }
}

/** Writes bytes `start` … `end - 1` in chunks of up to a MiB, the way a download does. */
export async function fill(
  ingest: Ingest,
  content: BlobContent,
  start = 0,
  end = content.size,
): Promise<void> {
  for (let at = start; at < end; at += mebibyte) {
    await ingest.write(at, content.slice(at, Math.min(at + mebibyte, end)));
  }
  await ingest.flush();
}

export interface Drained {
  readonly bytes: Buffer;
  /** What ended it; undefined: the blob's end. */
  readonly error: unknown;
}

/** Reads on until the end or an error. */
export async function drain(follower: Pick<Follower, 'read'>, from = 0): Promise<Drained> {
  const chunks: Buffer[] = [];
  try {
    for (let at = from; ; ) {
      const into = Buffer.alloc(64 * 1024);
      const count = await follower.read(into, at);
      if (count === 0) return { bytes: Buffer.concat(chunks), error: undefined };
      chunks.push(into.subarray(0, count));
      at += count;
    }
  } catch (error) {
    return { bytes: Buffer.concat(chunks), error };
  }
}

/** All of a content. */
export function bytesOf(content: BlobContent): Buffer {
  return content.slice(0, content.size);
}
