/** Bytes past the store: what may go out before all of them are known to be right. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PassthroughReader } from '../../../../src/cached/blobs/follower-reader.ts';
import type { Chunk } from '../../../../src/cached/download/resume.ts';
import { createDigester, type Digest } from '../../../../src/oci/digest.ts';
import { verifyFirstBytes } from '../../../../src/store/ingest/follower.ts';
import { MismatchError } from '../../../../src/store/store-error.ts';
import { type BlobContent, patternBlob } from '../../../support/content.ts';
import { Gate } from '../../../support/gates.ts';
import { isPending } from '../rig.ts';

const small = patternBlob('small', 3000);
const large = patternBlob('large', verifyFirstBytes + 5000);

interface Setting {
  readonly digest?: Digest;
  readonly size?: number | undefined;
  readonly chunkBytes?: number;
  readonly from?: number;
  readonly end?: number;
  /** Held before the chunk at `gateAt`; without it, before the end of the transfer is known. */
  readonly gate?: Gate;
  readonly gateAt?: number;
  readonly fails?: Error;
  /** Without: a closed range that can't be verified. */
  readonly hashes?: boolean;
}

function reader(content: BlobContent, setting: Setting = {}) {
  const { from = 0, end = content.size, chunkBytes = 64 * 1024, hashes = true } = setting;
  const events: string[] = [];
  async function* chunks(): AsyncGenerator<Chunk, void, void> {
    try {
      for (let at = from; at < end; at += chunkBytes) {
        if (at === setting.gateAt) await setting.gate?.pass();
        yield { at, bytes: content.slice(at, Math.min(at + chunkBytes, end)) };
      }
      if (setting.gateAt === undefined) await setting.gate?.pass();
      if (setting.fails !== undefined) throw setting.fails;
    } finally {
      events.push('transfer ended');
    }
  }
  const hash = createDigester('sha256').update(content.slice(0, from));
  const passthrough = new PassthroughReader({
    digest: setting.digest ?? content.digest,
    chunks: chunks(),
    hash: hashes ? hash : undefined,
    size: () => ('size' in setting ? setting.size : content.size),
    abort: () => {
      events.push('abort');
      setting.gate?.release();
    },
    onMismatch: () => events.push('mismatch'),
  });
  return { passthrough, events };
}

/** Until the end, an error, or `until` bytes. */
async function readOn(passthrough: PassthroughReader, from = 0, until = Number.POSITIVE_INFINITY) {
  const parts: Buffer[] = [];
  let at = from;
  let error: unknown;
  try {
    while (at < until) {
      const into = Buffer.alloc(10_000);
      const count = await passthrough.read(into, at);
      if (count === 0) break;
      parts.push(into.subarray(0, count));
      at += count;
    }
  } catch (thrown) {
    error = thrown;
  }
  return { bytes: Buffer.concat(parts), error };
}

test('a right blob comes through whole, whatever the chunks and the buffers', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(small, large),
      fc.integer({ min: 700, max: 300_000 }),
      fc.boolean(),
      async (content, chunkBytes, hidesSize) => {
        const { passthrough } = reader(content, { chunkBytes, ...(hidesSize && { size: undefined }) });
        await passthrough.prime();
        const { bytes, error } = await readOn(passthrough);
        expect(error).toBeUndefined();
        expect(bytes.equals(content.slice(0, content.size))).toBe(true);
      },
    ),
    { numRuns: 20 },
  );
});

test.each([
  ['known', small.size],
  ['hidden', undefined],
])(
  'of a small blob with a size that is %s nothing is ready before all of it is right',
  async (_what, size) => {
    const gate = new Gate();
    const { passthrough } = reader(small, { gate, size, chunkBytes: 500 });
    const priming = passthrough.prime();
    await gate.reached;
    expect(await isPending(priming)).toBe(true);
    gate.release();
    await priming;
    expect((await readOn(passthrough)).bytes).toEqual(small.slice(0, small.size));
  },
);

test.each([
  ['known', large.size],
  ['hidden', undefined],
])(
  'of a large blob with a size that is %s the last chunk is held back until all of it is right',
  async (_what, size) => {
    const gate = new Gate();
    const chunkBytes = 64 * 1024;
    const lastChunkAt = Math.floor(large.size / chunkBytes) * chunkBytes;
    const { passthrough } = reader(large, { gate, size, chunkBytes });
    await passthrough.prime();
    const head = await readOn(passthrough, 0, lastChunkAt);
    expect(head.bytes.equals(large.slice(0, lastChunkAt))).toBe(true);
    const rest = readOn(passthrough, lastChunkAt);
    await gate.reached;
    expect(await isPending(rest)).toBe(true);
    gate.release();
    expect((await rest).bytes).toEqual(large.slice(lastChunkAt, large.size));
  },
);

test('of a blob that is known to be large a chunk goes out as soon as the next one is here', async () => {
  const gate = new Gate();
  const { passthrough } = reader(large, { gate, gateAt: 20_000, chunkBytes: 10_000 });
  await passthrough.prime();
  expect(await passthrough.read(Buffer.alloc(20_000), 0)).toBe(10_000);
  const next = passthrough.read(Buffer.alloc(20_000), 10_000);
  await gate.reached;
  expect(await isPending(next)).toBe(true);
  gate.release();
  expect(await next).toBe(10_000);
});

test('a wrong small blob is found out before its first byte', async () => {
  const { passthrough, events } = reader(small, { digest: large.digest });
  await expect(passthrough.prime()).rejects.toBeInstanceOf(MismatchError);
  expect(events).toEqual(['transfer ended', 'mismatch']);
});

test('a wrong large blob ends before its last byte, and says so', async () => {
  const { passthrough, events } = reader(large, { digest: small.digest });
  await passthrough.prime();
  const { bytes, error } = await readOn(passthrough);
  expect(error).toBeInstanceOf(MismatchError);
  expect(bytes.length).toBeLessThan(large.size);
  expect(bytes.equals(large.slice(0, bytes.length))).toBe(true);
  expect(events).toEqual(['transfer ended', 'mismatch']);
  await expect(passthrough.read(Buffer.alloc(10), bytes.length)).rejects.toMatchObject({
    code: 'ERR_CRYPTO_HASH_FINALIZED',
  });
});

test('the rest of a blob is verified with the hash of what came before', async () => {
  const { passthrough } = reader(large, { from: 500_000 });
  const { bytes, error } = await readOn(passthrough, 500_000);
  expect(error).toBeUndefined();
  expect(bytes.equals(large.slice(500_000, large.size))).toBe(true);
});

test('a closed range without a hash goes out as it comes', async () => {
  const gate = new Gate();
  const { passthrough } = reader(large, { from: 1000, end: 2000, hashes: false, gate });
  await passthrough.prime();
  expect((await readOn(passthrough, 1000, 2000)).bytes).toEqual(large.slice(1000, 2000));
  gate.release();
  expect(await passthrough.read(Buffer.alloc(10), 2000)).toBe(0);
});

test('reading starts where the reader is asked to, and goes forward only', async () => {
  const { passthrough } = reader(large, { chunkBytes: 1000 });
  const into = Buffer.alloc(50);
  expect(await passthrough.read(into, 4321)).toBe(50);
  expect(into).toEqual(large.slice(4321, 4371));
  await expect(passthrough.read(into, 3999)).rejects.toThrow('cannot read at 3999, before 4000');
});

test('what the transfer failed with is what the reader gets, from prime and from read', async () => {
  const fails = new Error('the upstream went away');
  await expect(reader(small, { fails }).passthrough.prime()).rejects.toBe(fails);
  const { bytes, error } = await readOn(reader(large, { fails }).passthrough);
  expect(error).toBe(fails);
  expect(bytes.length).toBeLessThan(large.size);
});

test('close ends the transfer once, and a read after it is rejected', async () => {
  const { passthrough, events } = reader(large);
  await passthrough.read(Buffer.alloc(10), 0);
  await passthrough.close();
  await passthrough.close();
  expect(events).toEqual(['abort', 'transfer ended']);
  await expect(passthrough.read(Buffer.alloc(10), 10)).rejects.toThrow('closed');
});

test('close rejects a read that waits', async () => {
  const gate = new Gate();
  const { passthrough } = reader(small, { gate });
  const reading = passthrough.read(Buffer.alloc(10), 0);
  reading.catch(() => {});
  await gate.reached;
  await passthrough.close();
  await expect(reading).rejects.toThrow('closed');
});
