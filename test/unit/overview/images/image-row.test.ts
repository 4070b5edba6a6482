/** A row of an index that lists far more than a page can show: bounded, and other requests run in between. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../../src/oci/digest.ts';
import { parseManifest } from '../../../../src/oci/manifest.ts';
import { ociIndex, ociManifest } from '../../../../src/oci/media-type.ts';
import { parseTag } from '../../../../src/oci/name.ts';
import type { HeldRepository } from '../../../../src/overview/held/held-repository.ts';
import { ImageRows } from '../../../../src/overview/images/image-row.ts';

const children = 9000;

function digest(text: string): Digest {
  return digestOf(Buffer.from(text));
}

test('thousands of machines with their attestations: a hundred are shown, each with its own', async () => {
  const machines = Array.from({ length: children }, (_, at) => ({
    mediaType: ociManifest,
    digest: digest(`machine ${at}`),
    size: 10,
    platform: { os: 'linux', architecture: `a${at}` },
  }));
  const attestations = machines.map(machine => ({
    mediaType: ociManifest,
    digest: digest(`attestation of ${machine.digest}`),
    size: 10,
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: { 'vnd.docker.reference.digest': machine.digest },
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [...attestations, ...machines] }));
  const root = { size: bytes.length, parsed: parseManifest(bytes, ociIndex) };
  const named = { digest: digestOf(bytes), mediaType: ociIndex, sinceMs: 1, checkedMs: 1 };
  const repository: HeldRepository = {
    name: 'docker.io/library/many',
    upstream: 'docker.io',
    lastUseMs: 1,
    counts: { tags: 1, manifests: 1, pins: 0 },
    tags: () => [],
    tag: () => undefined,
    tagsOf: () => [],
    manifest: () => undefined,
    manifests: () => [],
    isNamed: () => undefined,
    isPinned: () => false,
    wasAsked: () => false,
    referrers: () => undefined,
  };
  const rows = new ImageRows({
    content: {
      of: async () => undefined,
      manifest: async ({ digest: asked }) => (asked === named.digest ? root : undefined),
      json: async () => undefined,
    },
    uses: { current: () => undefined },
    isFresh: () => true,
  });
  let [turns, isDone] = [0, false];
  const describing = rows.describe(repository, { tag: parseTag('latest'), ...named }).finally(() => {
    isDone = true;
  });
  for (; !isDone; turns += 1) await nextTurn();
  const { row } = await describing;
  expect(row.platforms).toHaveLength(100);
  expect(
    row.platforms.map(({ digest: machine, attestations: own }) => [machine, own.map(one => one.digest)]),
  ).toEqual(
    machines.slice(0, 100).map(machine => [machine.digest, [digest(`attestation of ${machine.digest}`)]]),
  );
  expect(row.platforms.some(({ platform }) => platform.includes('unknown'))).toBe(false);
  expect(turns).toBeGreaterThan(1);
});
