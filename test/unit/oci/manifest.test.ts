import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf, isDigest } from '../../../src/oci/digest.ts';
import { RegistryError } from '../../../src/oci/error.ts';
import {
  looksLikeManifest,
  type ParsedManifest,
  parseDescriptor,
  parseManifest,
  parseOrKeep,
} from '../../../src/oci/manifest.ts';
import {
  dockerManifest,
  dockerManifestList,
  dockerSchema1,
  isIndexType,
  isManifestType,
  ociArtifactManifest,
  ociIndex,
  ociManifest,
} from '../../../src/oci/media-type.ts';

const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
const layer = { mediaType: layerType, digest: digestOf(Buffer.from('layer')), size: 5 };
const config = {
  mediaType: 'application/vnd.oci.image.config.v1+json',
  digest: digestOf(Buffer.from('c')),
  size: 1,
};
const child = { mediaType: ociManifest, digest: digestOf(Buffer.from('child'), 'sha512'), size: 0 };
const image = { schemaVersion: 2, config, layers: [layer] };
const index = { schemaVersion: 2, manifests: [child] };

function bytesOf(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

describe('manifest', () => {
  test('an image names its config, layers, subject and artifact type', () => {
    const body = {
      ...image,
      subject: child,
      artifactType: 'a/b',
      annotations: { k: 'v', n: 1 },
      unknown: [1],
    };
    expect(parseManifest(bytesOf(body), ociManifest)).toEqual({
      kind: 'image',
      mediaType: ociManifest,
      config,
      layers: [layer],
      manifests: [],
      subject: child,
      artifactType: 'a/b',
      annotations: { k: 'v' },
    });
  });

  test('an index names its children and their platforms', () => {
    const arm = { os: 'linux', architecture: 'arm', variant: 'v7', 'os.version': '1', more: true };
    const manifests = [{ ...child, platform: arm, urls: ['x'] }, { ...child, platform: { os: 1 } }, child];
    expect(parseManifest(bytesOf({ ...index, manifests }), `${dockerManifestList}; charset=utf-8`)).toEqual({
      kind: 'index',
      mediaType: dockerManifestList,
      layers: [],
      manifests: [
        { ...child, platform: { os: 'linux', architecture: 'arm', variant: 'v7', osVersion: '1' } },
        child,
        child,
      ],
    });
  });

  test.each([
    [
      'the header before the body',
      dockerManifest,
      { ...image, mediaType: ociIndex },
      'image',
      dockerManifest,
    ],
    [
      'the body under a generic header',
      'text/plain',
      { ...image, mediaType: dockerManifest },
      'image',
      dockerManifest,
    ],
    [
      'the body without a header',
      '',
      { ...index, mediaType: dockerManifestList },
      'index',
      dockerManifestList,
    ],
    ['the shape of an image', 'application/json', image, 'image', ociManifest],
    ['the shape of an index', 'application/octet-stream', index, 'index', ociIndex],
    ['a type of its own, and the shape', 'application/vnd.x+json', image, 'image', 'application/vnd.x+json'],
    [
      'a type of its own in the body',
      '',
      { ...index, mediaType: 'application/vnd.x' },
      'index',
      'application/vnd.x',
    ],
  ])('its type is told by %s', (_by, header, body, kind, mediaType) => {
    expect(parseManifest(bytesOf(body), header)).toMatchObject({ kind, mediaType });
  });

  test('the content of an old artifact manifest is under blobs', () => {
    const body = { mediaType: ociArtifactManifest, blobs: [layer] };
    expect(parseManifest(bytesOf(body), ociArtifactManifest).layers).toEqual([layer]);
  });

  test('null is the same as absent', () => {
    const parsed = parseManifest(
      bytesOf({ schemaVersion: 2, config: null, layers: null, subject: null }),
      ociManifest,
    );
    expect(parsed).toEqual({ kind: 'image', mediaType: ociManifest, layers: [], manifests: [] });
  });

  test.each([
    ['no JSON', Buffer.from('<html>'), ociManifest],
    ['nothing', Buffer.alloc(0), ociManifest],
    ['a list', bytesOf([]), ociManifest],
    ['null', bytesOf(null), ociManifest],
    ['schema 1 by its version', bytesOf({ schemaVersion: 1, fsLayers: [] }), 'application/json'],
    ['schema 1 by its type', bytesOf(image), dockerSchema1],
    ['neither kind', bytesOf({ errors: [] }), 'application/json'],
    ['layers that are no list', bytesOf({ ...image, layers: {} }), ociManifest],
    ['a layer that is no object', bytesOf({ ...image, layers: ['x'] }), ociManifest],
    ['a layer without a digest', bytesOf({ ...image, layers: [{ size: 1 }] }), ociManifest],
    [
      'a digest with a path in it',
      bytesOf({ ...image, config: { ...config, digest: 'sha256:../../x' } }),
      ociManifest,
    ],
    ['a negative size', bytesOf({ ...image, layers: [{ ...layer, size: -1 }] }), ociManifest],
    ['a size that is no integer', bytesOf({ ...image, layers: [{ ...layer, size: 1.5 }] }), ociManifest],
    ['a size in a string', bytesOf({ ...image, layers: [{ ...layer, size: '5' }] }), ociManifest],
    [
      'a child with a size in a string',
      bytesOf({ manifests: [{ digest: child.digest, size: '5' }] }),
      ociIndex,
    ],
    ['a subject that is a string', bytesOf({ ...image, subject: child.digest }), ociManifest],
  ])('is invalid: %s', (_case, bytes, mediaType) => {
    expect(() => parseManifest(bytes, mediaType)).toThrow(
      expect.objectContaining({ code: 'MANIFEST_INVALID' }),
    );
  });

  test('the message says where', () => {
    const bytes = bytesOf({ ...image, layers: [layer, { ...layer, size: -1 }] });
    expect(() => parseManifest(bytes, ociManifest)).toThrow(
      'expected a size in bytes under layers[1], got "-1"',
    );
  });

  test('bytes in the middle of a larger buffer are read where they are', () => {
    const bytes = bytesOf(image);
    const whole = Buffer.concat([Buffer.from('{{{'), bytes, Buffer.from('}}')]);
    expect(parseManifest(whole.subarray(3, 3 + bytes.length), ociManifest).layers).toEqual([layer]);
  });

  function tryParse(value: unknown, mediaType: string): ParsedManifest | Error {
    try {
      return parseManifest(bytesOf(value), mediaType);
    } catch (error) {
      if (error instanceof Error) return error;
      throw error;
    }
  }

  test('any JSON is a manifest or MANIFEST_INVALID', () => {
    const keys = [
      'mediaType',
      'config',
      'layers',
      'manifests',
      'subject',
      'annotations',
      'digest',
      'size',
      'platform',
    ];
    const body = fc.dictionary(fc.constantFrom(...keys), fc.jsonValue());
    const types = fc.constantFrom(ociManifest, ociIndex, '', 'application/json', 'x/y');
    fc.assert(
      fc.property(fc.oneof(body, fc.jsonValue()), types, (value, mediaType) => {
        const parsed = tryParse(value, mediaType);
        if (parsed instanceof Error) {
          expect(parsed).toBeInstanceOf(RegistryError);
          expect(parsed).toMatchObject({ code: 'MANIFEST_INVALID' });
          expect(parsed.message).toMatch(/^expected (?:a|an|schemaVersion) .+, got .+$/s);
          return;
        }
        if (isManifestType(parsed.mediaType))
          expect(parsed.kind).toBe(isIndexType(parsed.mediaType) ? 'index' : 'image');
        expect(parsed.mediaType).not.toBe('');
        expect(parsed.kind === 'index' ? parsed.layers : parsed.manifests).toEqual([]);
        for (const { digest, size } of [...parsed.layers, ...parsed.manifests]) {
          expect(isDigest(digest)).toBe(true);
          expect(size === undefined || (Number.isSafeInteger(size) && size >= 0)).toBe(true);
        }
      }),
      { examples: [[{ layers: [layer], config: layer }, ociManifest]] },
    );
  });
});

test('a descriptor of our own is read whole or not at all', () => {
  const descriptor = { mediaType: ociManifest, digest: layer.digest, size: 0 };
  expect(parseDescriptor({ ...descriptor, annotations: {} })).toEqual(descriptor);
  for (const [key, value] of [
    ['mediaType', undefined],
    ['digest', 'sha256:x'],
    ['size', -1],
    ['size', 1.5],
    ['size', '1'],
  ] as const)
    expect(parseDescriptor({ ...descriptor, [key]: value })).toBeUndefined();
  for (const value of [undefined, null, 'x', [descriptor]]) expect(parseDescriptor(value)).toBeUndefined();
});

describe('a media type from a body', () => {
  test.each([
    ['a line break', 'application/x\r\nX-Evil: 1'],
    ['no subtype', 'application'],
    ['characters beyond ASCII', 'application/ünïcode'],
    ['256 characters', `application/${'x'.repeat(244)}`],
    ['blanks', 'text/ plain'],
  ])('with %s is application/octet-stream', (_what, mediaType) => {
    const octets = 'application/octet-stream';
    const body = { schemaVersion: 2, mediaType, layers: [{ ...layer, mediaType }] };
    const parsed = parseManifest(bytesOf(body), '');
    expect([parsed.mediaType, parsed.layers[0]?.mediaType]).toEqual([octets, octets]);
  });

  test('of 255 characters is kept', () => {
    const mediaType = `application/${'x'.repeat(243)}`;
    expect(parseManifest(bytesOf({ schemaVersion: 2, mediaType, layers: [layer] }), '').mediaType).toBe(
      mediaType,
    );
  });
});

describe('a manifest that came under a digest', () => {
  const named = { mediaType: child.mediaType, digest: child.digest };

  test.each([
    ['a type of its own', bytesOf({ blobs: [layer] }), 'application/vnd.own'],
    ['no JSON', Buffer.from('own'), 'application/vnd.own'],
    ['a form that does not fit its type', bytesOf({ layers: {} }), ociManifest],
  ])('is kept unread: %s', (_case, bytes, mediaType) => {
    expect(parseOrKeep(bytes, mediaType)).toEqual({ kind: 'other', mediaType, layers: [], manifests: [] });
  });

  test('of schema 1 is not kept', () => {
    const schema1 = bytesOf({ schemaVersion: 1, fsLayers: [] });
    expect(() => parseOrKeep(schema1, 'application/json')).toThrow('schema 1');
    expect(() => parseOrKeep(bytesOf(image), dockerSchema1)).toThrow();
  });

  test('may name digests of other algorithms, and children without a size', () => {
    const foreign = { ...layer, digest: `blake3:${'a'.repeat(64)}` };
    expect(parseManifest(bytesOf({ ...image, layers: [layer, foreign] }), ociManifest)).toMatchObject({
      layers: [layer],
      hasForeign: true,
    });
    expect(parseManifest(bytesOf({ manifests: [named] }), ociIndex).manifests).toEqual([named]);
  });
});

test.each<[string, boolean, unknown]>([
  ['its own word', true, { mediaType: ociIndex }],
  ['the form of an image', true, image],
  ['the form of an index', true, { schemaVersion: 2, manifests: [] }],
  ['schema 1', true, { schemaVersion: 1, fsLayers: [] }],
  ['the config of an image', false, { os: 'linux', config: {}, rootfs: { type: 'layers' } }],
  ['a build cache config', false, { layers: [], records: [] }],
  ['another type', false, { mediaType: 'application/vnd.x', schemaVersion: 2, config: {}, layers: [] }],
  ['a list', false, []],
])('bytes are a manifest by %s: %s', (_by, expected, body) => {
  const bytes = bytesOf(body);
  expect(looksLikeManifest(bytes)).toBe(expected);
  expect(looksLikeManifest(Buffer.concat([Buffer.from('x'), bytes]))).toBe(false);
});
