/** What another node gets of a running download: a reader of its own, which goes with that node, whenever it leaves. */
import { expect, onTestFinished, test } from 'vitest';
import { CachedPeerContent } from '../../../../src/cached/blobs/peer-content.ts';
import { Download } from '../../../../src/cached/download/download.ts';
import { Downloads } from '../../../../src/cached/download/downloads.ts';
import { SourceList } from '../../../../src/cached/download/resume.ts';
import type { Reservation } from '../../../../src/capacity/room.ts';
import { Gate } from '../../../support/gates.ts';
import { IngestRig, large } from '../../store/ingest-rig.ts';
import { HandClock, ScriptedSource } from '../rig.ts';
import { StoreRig } from '../store-rig.ts';

const room: Reservation = {
  bytes: large.size,
  grow: async () => true,
  makeRoom: async () => false,
  settle: () => {},
  keepPartial: () => {},
  release: () => {},
};

test('a node that leaves before the upstream has answered leaves no follower behind', async () => {
  const rig = await IngestRig.create();
  const stored = await StoreRig.create();
  const upstream = new Gate();
  const source = new ScriptedSource(
    'docker.io',
    large,
    [],
    [() => upstream.pass().then(() => Promise.reject(new Error('the test is over')))],
  );
  const shutdown = new AbortController();
  const { observer, logger } = rig.recorder;
  const download = new Download({
    ...{ observer, logger, signal: shutdown.signal, now: new HandClock().now },
    digest: large.digest,
    expectedSize: large.size,
    sources: new SourceList([source]),
    policy: { stallMs: 60_000, giveUpMs: 60_000, minRate: 1024 },
    finish: 'always',
    isHeld: async () => false,
    room: { couldHold: () => true, reserve: async () => room },
    openIngest: onFollowers => rig.open(large.digest, 'boot-1', onFollowers),
    onMismatch: () => {},
  });
  download.requestWhole();
  const downloads = new Downloads();
  downloads.start(large.digest, () => download);
  onTestFinished(async () => {
    shutdown.abort();
    upstream.release();
    await downloads.drained();
  });
  await upstream.reached;
  const ingest = await download.opened;
  if (typeof ingest === 'string') throw new Error(`expected an ingest, got ${ingest}`);
  const record = await stored.record();
  const content = new CachedPeerContent({
    ...{ downloads, manifests: stored.manifests, links: stored.links },
    files: { open: async () => undefined },
    record: async () => record,
    isPublic: () => true,
  });
  const node = new AbortController();
  const question = { kind: 'blob', digest: large.digest, repository: record.name } as const;
  const asked = content.blob({ ...question, publicOnly: false, heldOnly: false }, undefined, node.signal);
  await expect.poll(() => ingest.followers).toBe(1);
  node.abort(new Error('it left'));
  await expect(asked).rejects.toThrow('it left');
  expect(ingest.followers).toBe(0);
});
