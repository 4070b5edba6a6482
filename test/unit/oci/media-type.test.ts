import { describe, expect, test } from 'vitest';
import {
  dockerManifest,
  dockerManifestList,
  dockerSchema1,
  dockerSchema1Signed,
  isDistributable,
  isGenericType,
  isImageManifestType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  manifestAccept,
  ociArtifactManifest,
  ociIndex,
  ociManifest,
} from '../../../src/oci/media-type.ts';

describe('media type', () => {
  test.each([
    [ociIndex, 'index'],
    [dockerManifestList, 'index'],
    [ociManifest, 'image'],
    [dockerManifest, 'image'],
    [ociArtifactManifest, 'image'],
    [`${ociIndex.toUpperCase()} ; charset=utf-8`, 'index'],
    [dockerSchema1, 'schema 1'],
    [`${dockerSchema1Signed};x`, 'schema 1'],
    ['application/json; charset=utf-8', 'generic'],
    ['', 'generic'],
    ['application/vnd.example+json', 'other'],
  ])('%s is of kind %s', (mediaType, kind) => {
    expect(isIndexType(mediaType)).toBe(kind === 'index');
    expect(isImageManifestType(mediaType)).toBe(kind === 'image');
    expect(isManifestType(mediaType)).toBe(kind === 'index' || kind === 'image');
    expect(isSchema1Type(mediaType)).toBe(kind === 'schema 1');
    expect(isGenericType(mediaType)).toBe(kind === 'generic');
  });

  test('the Accept sent upstream names every kind that is kept, indexes first and OCI before Docker, then anything', () => {
    const accepted = manifestAccept.split(', ');
    expect(accepted).toEqual([
      ociIndex,
      dockerManifestList,
      ociManifest,
      dockerManifest,
      ociArtifactManifest,
      '*/*',
    ]);
    expect(accepted.some(isSchema1Type)).toBe(false);
  });

  test.each([
    ['application/vnd.oci.image.layer.v1.tar+gzip', true],
    ['application/vnd.oci.image.layer.v1.tar+zstd', true],
    ['application/vnd.docker.image.rootfs.diff.tar.gzip', true],
    ['application/octet-stream', true],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', false],
    ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', false],
  ])('a layer of type %s is distributable: %s', (mediaType, expected) => {
    expect(isDistributable(mediaType)).toBe(expected);
  });
});
