import { expect, test } from 'vitest';
import { Adoption } from '../../../src/hosted/adoption.ts';
import { RegistryError } from '../../../src/oci/error.ts';
import { anonymousCaller } from '../../../src/registry/caller.ts';
import { patternBlob } from '../../support/content.ts';
import { alice, app, UploadsRig } from './uploads/uploads-rig.ts';

const blob = patternBlob('adopted', 1000);
const hourMs = 60 * 60_000;

async function openRig() {
  const rig = await UploadsRig.create();
  await rig.store.put(blob.digest, blob.slice(0, blob.size));
  const state = { isWritable: true };
  const adoption = new Adoption({
    links: rig.links,
    publicSize: async digest => (rig.publicBlobs.has(digest) ? rig.store.sizeOf(digest) : undefined),
    requireWritable: () => {
      if (!state.isWritable) throw new RegistryError('UNAVAILABLE');
    },
    freshMs: hourMs,
    logger: rig.recorder.logger,
    now: () => rig.nowMs,
  });
  return { rig, adoption, state };
}

test('links what is held and public, for a caller who may push', async () => {
  const { rig, adoption } = await openRig();
  expect(await adoption.adopt(app, blob.digest, { caller: alice })).toBeUndefined();
  rig.publicBlobs.add(blob.digest);
  for (const caller of [anonymousCaller, undefined])
    expect(await adoption.adopt(app, blob.digest, caller === undefined ? {} : { caller })).toBeUndefined();
  expect(rig.log.peek(app)).toBeUndefined();
  expect(await adoption.adopt(app, blob.digest, { caller: alice })).toBe(blob.size);
  expect(rig.log.peek(app)?.link(blob.digest)).toMatchObject({
    how: 'adopt',
    user: 'alice',
    size: blob.size,
  });
});

test('waits for a removal that runs, and then finds nothing', async () => {
  const { rig, adoption } = await openRig();
  rig.publicBlobs.add(blob.digest);
  const removing = rig.holds.removeUnlessHeld(
    blob.digest,
    () => true,
    () => rig.store.remove(blob.digest),
  );
  const adopting = adoption.adopt(app, blob.digest, { caller: alice });
  expect([await removing, await adopting, rig.log.peek(app)]).toEqual([blob.size, undefined, undefined]);
});

test('renews a link that is an hour old, at most so often', async () => {
  const { rig, adoption } = await openRig();
  rig.publicBlobs.add(blob.digest);
  await adoption.adopt(app, blob.digest, { caller: alice });
  const renewed = async (caller = alice): Promise<number> => {
    const link = rig.log.peek(app)?.link(blob.digest);
    if (link !== undefined) await adoption.renew(app, link, { caller });
    return rig.log.commits.length;
  };
  rig.nowMs += hourMs - 1;
  expect(await renewed()).toBe(1);
  rig.nowMs += 1;
  expect(await renewed(anonymousCaller)).toBe(1);
  expect([await renewed(), await renewed()]).toEqual([2, 2]);
  expect(rig.log.peek(app)?.link(blob.digest)?.at).toBe(rig.nowMs);
});

test('where nothing may be written, or the log can’t be, a HEAD finds nothing to adopt', async () => {
  const { rig, adoption, state } = await openRig();
  rig.publicBlobs.add(blob.digest);
  state.isWritable = false;
  expect(await adoption.adopt(app, blob.digest, { caller: alice })).toBeUndefined();
  state.isWritable = true;
  rig.log.beforeCommit = async () => {
    throw new RegistryError('UNAVAILABLE');
  };
  expect(await adoption.adopt(app, blob.digest, { caller: alice })).toBeUndefined();
  expect([rig.log.peek(app), rig.holds.isHeld(blob.digest)]).toEqual([undefined, false]);
});
