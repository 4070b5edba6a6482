/** What the contract's suite can't see: limits, expiry, room, restarts, a log that takes no line. */
import { readdir, rm } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import { RegistryError } from '../../../../src/oci/error.ts';
import { anonymousCaller, type Caller, operatorCaller } from '../../../../src/registry/caller.ts';
import type { UploadSession } from '../../../../src/registry/writer.ts';
import { patternBlob } from '../../../support/content.ts';
import { deferred, Gate } from '../../../support/gates.ts';
import { filesUnder } from '../../../support/temp-dir.ts';
import { alice, app, bodyOf, options, UploadsRig } from './uploads-rig.ts';

const mebibyte = 1024 * 1024;
const blob = patternBlob('upload', 200_000);
const bytes = blob.slice(0, blob.size);
const gone = { code: 'BLOB_UPLOAD_UNKNOWN' };

async function filesOf(rig: UploadsRig): Promise<string[]> {
  return (await readdir(rig.layout.uploadsFolder).catch(() => [])).sort();
}

function userOf(name: string): Caller {
  return { ...operatorCaller, user: name };
}

describe('at most 100 sessions of one user and 1,000 in all', () => {
  test('are open: 503, and a place that is given up can be had', async () => {
    const rig = await UploadsRig.create();
    const sessions = await Promise.all(Array.from({ length: 100 }, () => rig.start()));
    await expect(rig.start()).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
    await expect(rig.start({}, anonymousCaller)).resolves.toMatchObject({ kind: 'session' });
    await sessions[0]?.cancel();
    await rig.start();
    expect([rig.openCount, (await filesOf(rig)).length]).toEqual([101, 101]);
  });

  test('also when they are asked for at once, and of many users', async () => {
    const rig = await UploadsRig.create();
    const started = await Promise.allSettled(
      Array.from({ length: 1100 }, (_, index) => rig.start({}, userOf(`user${index % 20}`))),
    );
    expect(started.filter(({ status }) => status === 'fulfilled')).toHaveLength(1000);
  });

  test('a session without a byte gives its place up after ten minutes, one with bytes does not', async () => {
    const rig = await UploadsRig.create();
    const sessions = await Promise.all(Array.from({ length: 100 }, () => rig.start()));
    for (const session of sessions.slice(1)) await session.append(0, bodyOf(bytes.subarray(0, 1)), options());
    rig.nowMs += 10 * 60_000;
    await rig.start();
    await expect(rig.start()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(rig.uploads.upload(app, sessions[0]?.id ?? '', options())).rejects.toMatchObject(gone);
  });
});

describe('expiry', () => {
  test('ends what no request has used for upload_ttl, and nothing that runs', async () => {
    const rig = await UploadsRig.create({ ttlMs: 1000 });
    const [idle, used, running] = [await rig.start(), await rig.start(), await rig.start()];
    const stuck = deferred();
    const appending = running.append(
      0,
      (async function* () {
        await stuck.promise;
        yield Buffer.from(bytes);
      })(),
      options(),
    );
    rig.nowMs += 900;
    await rig.uploads.upload(app, used.id, options());
    rig.nowMs += 100;
    await rig.uploads.expire();
    await expect(rig.uploads.upload(app, idle.id, options())).rejects.toMatchObject(gone);
    await rig.uploads.upload(app, used.id, options());
    stuck.resolve();
    await appending;
    expect(await running.commit(blob.digest, options())).toEqual({ digest: blob.digest, size: blob.size });
    expect(rig.ended).toEqual(['expired', 'committed']);
  });

  test('0: never', async () => {
    const rig = await UploadsRig.create({ ttlMs: 0 });
    const session = await rig.start();
    rig.nowMs += 10 ** 12;
    await rig.uploads.expire();
    expect((await rig.uploads.upload(app, session.id, options())).id).toBe(session.id);
  });

  test('counts from the last write across a restart', async () => {
    const rig = await UploadsRig.create({ ttlMs: 60_000 });
    const session = await rig.start();
    await session.append(0, bodyOf(bytes), options());
    rig.nowMs += 120_000;
    rig.restart();
    await expect(rig.uploads.upload(app, session.id, options())).rejects.toMatchObject(gone);
    expect([rig.ended, await filesOf(rig)]).toEqual([['expired'], []]);
  });
});

describe('a restart', () => {
  test('finds the session with all that was written; the hash is made anew when the next byte comes', async () => {
    const rig = await UploadsRig.create();
    const { id } = await appended(await rig.start({ digest: blob.digest }), 150_000);
    rig.restart();
    const session = await rig.uploads.upload(app, id, options());
    expect([session.offset, session.expected, rig.openCount]).toEqual([150_000, blob.digest, 1]);
    await session.append(150_000, bodyOf(bytes.subarray(150_000)), options());
    await session.commit(blob.digest, options());
    expect(await rig.store.sizeOf(blob.digest)).toBe(blob.size);
  });

  test('belongs to its user and repository as before, and counts in the room', async () => {
    const rig = await UploadsRig.create();
    const { id } = await appended(await rig.start(), 150_000);
    const before = rig.room.reservedBytes;
    rig.restart();
    await expect(rig.uploads.upload(app, id, options(anonymousCaller))).rejects.toMatchObject(gone);
    await rig.uploads.upload(app, id, options());
    expect(rig.room.writtenBytes - before).toBe(150_000); // the rig's room is that of both processes
  });

  test('a commit that comes first hashes from the file', async () => {
    const rig = await UploadsRig.create();
    const { id } = await appended(await rig.start(), blob.size);
    rig.restart();
    await (await rig.uploads.upload(app, id, options())).commit(blob.digest, options());
    expect(rig.log.peek(app)?.link(blob.digest)?.size).toBe(blob.size);
  });

  async function appended(session: UploadSession, size: number): Promise<UploadSession> {
    await session.append(0, bodyOf(bytes.subarray(0, size)), options());
    return session;
  }
});

describe('room', () => {
  test('none left: 503, what came stays, and the session goes on when there is some', async () => {
    const rig = await UploadsRig.create();
    rig.diskBytes = 100_000;
    const session = await rig.start();
    const half = [bytes.subarray(0, 60_000), bytes.subarray(60_000, 120_000)];
    await expect(session.append(0, bodyOf(...half), options())).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      status: 503,
    });
    expect([session.offset, rig.room.reservedBytes]).toEqual([0, 0]); // not even a step of 4 MiB
    rig.diskBytes = 64 * mebibyte;
    await session.append(0, bodyOf(bytes), options());
    await session.commit(blob.digest, options());
    expect([rig.room.reservedBytes, rig.room.writtenBytes]).toEqual([0, 0]);
  });

  test('the cache gives way, and what rests keeps only what it has written', async () => {
    const rig = await UploadsRig.create();
    rig.diskBytes = 10 * mebibyte;
    rig.cacheBytes = 9 * mebibyte;
    const session = await rig.start();
    await session.append(0, bodyOf(bytes), options());
    expect(rig.cacheBytes).toBe(6 * mebibyte);
    expect(rig.room.reservedBytes).toBe(blob.size);
    await session.cancel();
    expect(rig.room.reservedBytes).toBe(0);
  });

  test('a length that is announced takes no more than that', async () => {
    const rig = await UploadsRig.create();
    rig.diskBytes = blob.size;
    const session = await rig.start();
    await session.append(0, bodyOf(bytes), { ...options(), bytes: blob.size });
    expect((await session.commit(blob.digest, options())).size).toBe(blob.size);
  });
});

describe('a link that can’t be written', () => {
  test('503; the session goes on, and the next commit links without another upload', async () => {
    const rig = await UploadsRig.create();
    const session = await rig.start();
    await session.append(0, bodyOf(bytes), options());
    rig.log.beforeCommit = async () => {
      throw new RegistryError('UNAVAILABLE');
    };
    await expect(session.commit(blob.digest, options())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect([rig.log.peek(app), rig.orphans, rig.holds.isHeld(blob.digest)]).toEqual([
      undefined,
      [blob.digest],
      false,
    ]);
    const more = session.append(undefined, bodyOf(Buffer.from('x')), options());
    await expect(more).rejects.toMatchObject({ code: 'BLOB_UPLOAD_INVALID' });
    rig.log.beforeCommit = async () => {};
    const again = await rig.uploads.upload(app, session.id, options());
    expect(again.offset).toBe(blob.size);
    expect(await again.commit(blob.digest, options())).toEqual({ digest: blob.digest, size: blob.size });
    expect([rig.log.peek(app)?.link(blob.digest)?.user, await filesOf(rig)]).toEqual(['alice', []]);
  });

  test('and the blob evicted meanwhile: the session is gone, nothing is linked', async () => {
    const rig = await UploadsRig.create();
    const session = await rig.start();
    await session.append(0, bodyOf(bytes), options());
    rig.log.beforeCommit = async () => {
      throw new RegistryError('UNAVAILABLE');
    };
    await expect(session.commit(blob.digest, options())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await rig.store.remove(blob.digest);
    rig.log.beforeCommit = async () => {};
    await expect(session.commit(blob.digest, options())).rejects.toMatchObject(gone);
    expect([rig.log.peek(app), rig.ended]).toEqual([undefined, ['failed']]);
  });
});

test('the blob is held from before the look at the store until its link is written', async () => {
  const rig = await UploadsRig.create();
  const session = await rig.start();
  await session.append(0, bodyOf(bytes), options());
  const gate = new Gate();
  rig.log.beforeCommit = () => gate.pass();
  const committing = session.commit(blob.digest, options());
  await gate.reached;
  expect(rig.holds.isHeld(blob.digest)).toBe(true);
  expect(
    await rig.holds.removeUnlessHeld(
      blob.digest,
      () => true,
      async () => 'removed',
    ),
  ).toBeUndefined();
  gate.release();
  await committing;
  expect(rig.holds.isHeld(blob.digest)).toBe(false);
});

test('a blob that is held already: the file is dropped, the link is made', async () => {
  const rig = await UploadsRig.create();
  await rig.store.put(blob.digest, bytes);
  const before = await filesUnder(rig.layout.blobsFolder);
  const session = await rig.start();
  await session.append(0, bodyOf(bytes), options());
  await session.commit(blob.digest, options());
  expect(await filesUnder(rig.layout.blobsFolder)).toEqual(before);
  expect([await filesOf(rig), rig.log.peek(app)?.link(blob.digest)?.how]).toEqual([[], 'push']);
});

test('a held file of another length is replaced by what was pushed', async () => {
  const rig = await UploadsRig.create();
  await rig.store.put(blob.digest, bytes.subarray(1));
  const session = await rig.start();
  await session.append(0, bodyOf(bytes), options());
  await session.commit(blob.digest, options());
  expect(await rig.store.sizeOf(blob.digest)).toBe(blob.size);
});

test('a repository whose log can’t be read takes no upload', async () => {
  const rig = await UploadsRig.create();
  rig.log.readRepository = async () => {
    throw new RegistryError('UNAVAILABLE');
  };
  await expect(rig.start()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(await filesOf(rig)).toEqual([]);
});

test('a commit whose bytes were lost on the disk is 503, and never a blob', async () => {
  const rig = await UploadsRig.create();
  const session = await rig.start();
  await session.append(0, bodyOf(bytes), options());
  await rm(rig.layout.uploadsFolder, { recursive: true });
  await expect(session.commit(blob.digest, options())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await expect(session.commit(digestOf(bytes, 'sha512'), options())).rejects.toMatchObject({
    code: 'UNAVAILABLE',
  });
  expect(await rig.store.sizeOf(blob.digest)).toBeUndefined();
});

test('three requests for one session: the last one has it, both others hear of it', async () => {
  const rig = await UploadsRig.create();
  const session = await rig.start();
  const stuck = deferred();
  const body = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from(bytes.subarray(0, 10));
    await stuck.promise;
  };
  const first = session.append(0, body(), options(alice));
  const second = session.append(undefined, body(), options(alice));
  const third = session.append(undefined, bodyOf(bytes.subarray(session.offset)), options(alice));
  const settled = await Promise.allSettled([first, second, third]);
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  for (const result of settled)
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'BLOB_UPLOAD_INVALID' });
  stuck.resolve();
});
