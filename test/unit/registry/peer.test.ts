/** Guards src/registry/peer.ts: nodes of different versions must read each other's URLs. */
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import {
  buildPeerTarget,
  isPeerTarget,
  type PeerRequest,
  parsePeerTarget,
} from '../../../src/registry/peer.ts';
import { titled } from '../../support/titles.ts';

const digest = digestOf(Buffer.from('a blob'));
const repository = 'docker.io/library/alpine';
const query = 'repository=docker.io%2Flibrary%2Falpine';

test.each(
  titled<[Partial<PeerRequest>, string]>([
    [{}, `/fleet/v1/blobs/${digest}?${query}`],
    [{ publicOnly: true }, `/fleet/v1/blobs/${digest}?${query}&for=anybody`],
    [{ heldOnly: true }, `/fleet/v1/blobs/${digest}?${query}&state=held`],
    [{ kind: 'manifest', heldOnly: true }, `/fleet/v1/manifests/${digest}?${query}&state=held`],
    [
      { kind: 'manifest', publicOnly: true, heldOnly: true },
      `/fleet/v1/manifests/${digest}?${query}&for=anybody&state=held`,
    ],
  ]),
)('%s', (_title, [more, target]) => {
  const request: PeerRequest = {
    kind: 'blob',
    digest,
    repository,
    publicOnly: false,
    heldOnly: false,
    ...more,
  };
  expect(buildPeerTarget(request)).toBe(target);
  expect(parsePeerTarget(target)).toEqual(request);
  expect(isPeerTarget(target)).toBe(true);
});

test.each(
  titled([
    '/fleet/v1/',
    `/fleet/v1/blobs/${digest}`,
    `/fleet/v1/blobs/${digest}?state=held`,
    `/fleet/v1/blobs/sha256:x?${query}`,
    `/fleet/v1/blobs/${digest}/more?${query}`,
    `/fleet/v1/tags/${digest}?${query}`,
    `/fleet/v2/blobs/${digest}?${query}`,
  ]),
)('%s is not understood', (_title, target) => {
  expect(parsePeerTarget(target)).toBeUndefined();
});
