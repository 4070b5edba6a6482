/** Who may have what: a link per repository, and every caller once one of them is public. */
import { expect, test } from 'vitest';
import { Links } from '../../../../src/cached/access/links.ts';
import { Gate } from '../../../support/gates.ts';
import { digestWith } from '../rig.ts';
import { StoreRig } from '../store-rig.ts';

const digest = digestWith('a');

test('a link of a private repository serves that repository alone', async () => {
  const rig = await StoreRig.create();
  const [mine, other] = [await rig.record('r.lan/mine'), await rig.record('r.lan/other')];
  rig.links.link(mine, digest, false);
  expect([rig.links.mayServe(mine, digest), rig.links.mayServe(other, digest)]).toEqual([true, false]);
  expect(rig.links.mayServe(mine, digestWith('b'))).toBe(false);
  expect(rig.links.isPublic(digest)).toBe(false);
});

test('a link of a public repository serves every caller', async () => {
  const rig = await StoreRig.create();
  const [alpine, other] = [await rig.record(), await rig.record('r.lan/other')];
  rig.links.link(alpine, digest, true);
  expect([rig.links.mayServe(other, digest), rig.links.isPublic(digest)]).toEqual([true, true]);
  expect(other.isLinked(digest)).toBe(false);
});

test('a blob that becomes public keeps its link, one that was public stays it', async () => {
  const rig = await StoreRig.create();
  const record = await rig.record();
  rig.links.link(record, digest, false);
  rig.links.link(record, digest, true);
  expect(rig.links.isPublic(digest)).toBe(true);
  rig.links.link(record, digest, false);
  expect(rig.links.isPublic(digest)).toBe(true);
  expect([...record.links()]).toEqual([digest]);
});

test('links outlive the process with their record, and are public again when public records are read', async () => {
  const rig = await StoreRig.create();
  const [alpine, secret] = [await rig.record(), await rig.record('r.lan/secret')];
  rig.links.link(alpine, digest, true);
  rig.links.link(secret, digestWith('b'), false);
  const after = new Links();
  expect([after.mayServe(alpine, digest), after.isPublic(digest)]).toEqual([true, false]);
  await after.load(
    (async function* () {
      yield alpine;
    })(),
  );
  expect([after.isPublic(digest), after.isPublic(digestWith('b'))]).toEqual([true, false]);
  expect([after.mayServe(secret, digestWith('b')), after.mayServe(secret, digest)]).toEqual([true, true]);
});

test('a caller in doubt can wait until the public records are read', async () => {
  const rig = await StoreRig.create();
  const record = await rig.record();
  rig.links.link(record, digest, true);
  const links = new Links();
  await links.loaded; // nothing to read: no waiting
  const gate = new Gate();
  void links.load(
    (async function* () {
      await gate.pass();
      yield record;
    })(),
  );
  expect(links.isPublic(digest)).toBe(false);
  const waiting = links.loaded.then(() => links.isPublic(digest));
  gate.release();
  expect(await waiting).toBe(true);
});
