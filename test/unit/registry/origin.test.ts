/** Guards src/registry/origin.ts. */
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepository, parseTag } from '../../../src/oci/name.ts';
import { mapOrigin, type Origin, wrapSource } from '../../../src/registry/origin.ts';
import type { BlobSource } from '../../../src/registry/registry.ts';

const repository = parseRepository('library/alpine');
const digest = digestOf(Buffer.from('a blob'));
const { signal } = new AbortController();

/** An origin that notes its calls: each method, with `this` as it must be. */
class NotingOrigin {
  readonly key = 'r.lan';
  readonly calls: unknown[][] = [];

  static create(): { origin: Origin; calls: unknown[][] } {
    const noting = new NotingOrigin();
    const names = [
      'resolve',
      'manifest',
      'stat',
      'blob',
      'blobSource',
      'tags',
      'referrers',
      'health',
      'close',
    ];
    for (const name of names)
      Object.assign(noting, {
        [name](this: NotingOrigin, ...asked: unknown[]) {
          this.calls.push([name, ...asked]);
          return `${name} of the origin`;
        },
      });
    return { origin: noting as unknown as Origin, calls: noting.calls };
  }
}

test('every method that is not overridden reaches the origin with all its arguments', () => {
  const { origin, calls } = NotingOrigin.create();
  const mapped = mapOrigin(origin, {});
  const tag = parseTag('3');
  const answers: unknown[] = [
    mapped.resolve(repository, tag, { signal }),
    mapped.manifest(repository, tag, { signal }),
    mapped.stat(repository, digest, { signal }),
    mapped.blob(repository, digest, { first: 5 }, { signal }),
    mapped.blobSource(repository, digest),
    mapped.tags(repository, { signal, n: 2 }),
    mapped.referrers(repository, digest, 'x/y', { signal, query: 'q' }),
    mapped.health(),
    mapped.close(),
  ];
  expect(mapped.key).toBe('r.lan');
  expect(calls).toEqual([
    ['resolve', repository, tag, { signal }],
    ['manifest', repository, tag, { signal }],
    ['stat', repository, digest, { signal }],
    ['blob', repository, digest, { first: 5 }, { signal }],
    ['blobSource', repository, digest],
    ['tags', repository, { signal, n: 2 }],
    ['referrers', repository, digest, 'x/y', { signal, query: 'q' }],
    ['health'],
    ['close'],
  ]);
  expect(answers).toEqual(calls.map(([name]) => `${name} of the origin`));
});

test('an overridden method is called on the overrides, and the origin is left alone', async () => {
  class Overrides {
    readonly #size = 7;

    async stat() {
      return { outcome: 'hit' as const, size: this.#size };
    }
  }
  const { origin, calls } = NotingOrigin.create();
  const mapped = mapOrigin(origin, new Overrides());
  expect(await mapped.stat(repository, digest, { signal })).toEqual({ outcome: 'hit', size: 7 });
  expect(calls).toEqual([]);
});

function sourceOf(name: string, more: Partial<BlobSource> = {}): BlobSource {
  const open = async (start: number) => ({ stream: (async function* () {})(), start, size: name.length });
  return { upstream: 'r.lan', repository: name, open, ...more };
}

test('a wrapped source keeps what it is not told otherwise, and so do its alternatives', async () => {
  const far = sourceOf('far', { roundTripMs: () => 50 });
  const source = sourceOf('near', { roundTripMs: () => 5, parallel: false, alternatives: [far] });
  const opened: string[] = [];
  const wrapped = wrapSource(source, inner => ({
    open: (offset, options) => {
      opened.push(inner.repository);
      return inner.open(offset, options);
    },
  }));
  const [alternative] = wrapped.alternatives ?? [];
  expect([wrapped.repository, wrapped.parallel, wrapped.roundTripMs?.()]).toEqual(['near', false, 5]);
  expect([alternative?.repository, alternative?.parallel, alternative?.roundTripMs?.()]).toEqual([
    'far',
    undefined,
    50,
  ]);
  expect(await wrapped.open(3, { signal })).toMatchObject({ start: 3, size: 4 });
  expect(await alternative?.open(4, { signal })).toMatchObject({ start: 4, size: 3 });
  expect(opened).toEqual(['near', 'far']);
});

test('a source whose distance is not known stays one, and a wrapper may ask for one transfer', async () => {
  const wrapped = wrapSource(sourceOf('near'), () => ({ parallel: false }));
  expect([wrapped.roundTripMs?.(), wrapped.parallel, wrapped.alternatives]).toEqual([
    undefined,
    false,
    undefined,
  ]);
  expect(await wrapped.open(1, { signal })).toMatchObject({ start: 1 });
});
