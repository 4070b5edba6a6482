/** The walk over manifest graphs: what it reads, in which order, and where it stops. */
import { afterEach, expect, test, vi } from 'vitest';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import type { ParsedManifest } from '../../../src/oci/manifest.ts';
import { walkLimits, walkManifests } from '../../../src/oci/manifest-walk.ts';
import { ociIndex, octetStream } from '../../../src/oci/media-type.ts';

const named = (name: string) => ({ mediaType: octetStream, digest: digestOf(Buffer.from(name)), size: 1 });

const layer = named('layer');

afterEach(() => {
  vi.restoreAllMocks();
});

/** Indexes by name, and the names that each of them lists. Visited: `name`, or `-name` where nothing was found. */
async function walk(
  graph: Readonly<Record<string, readonly string[]>>,
  roots: readonly string[],
  layers = 0,
) {
  const names = new Map<Digest, string>();
  const descriptorOf = (name: string) => {
    const descriptor = named(name);
    names.set(descriptor.digest, name);
    return descriptor;
  };
  const reads: string[] = [];
  const visited: string[] = [];
  let turns = 0;
  let isOver = false;
  const tick = () => {
    turns += 1;
    if (!isOver) setImmediate(tick);
  };
  setImmediate(tick);
  const read = async ({ digest }: { readonly digest: Digest }) => {
    const name = names.get(digest) ?? '';
    reads.push(name);
    const children = graph[name];
    if (children === undefined) return undefined;
    const manifests = children.map(descriptorOf);
    const blobs = new Array<typeof layer>(layers).fill(layer);
    const parsed: ParsedManifest = { kind: 'index', mediaType: ociIndex, layers: blobs, manifests };
    return { parsed };
  };
  for await (const { named: at, found } of walkManifests(roots.map(descriptorOf), read))
    visited.push(`${found === undefined ? '-' : ''}${names.get(at.digest)}`);
  isOver = true;
  return { reads, visited, turns };
}

test('a manifest is read once, however many name it and however deep, and the roots come first', async () => {
  const width = Array.from({ length: 300 });
  const graph = {
    a: width.map(() => 'b'),
    b: width.map(() => 'c'),
    c: width.map(() => 'd'),
    d: ['gone'],
    x: ['d'],
  };
  const { reads, visited } = await walk(graph, ['a', 'x', 'a']);
  expect(reads).toEqual(['a', 'x', 'b', 'd', 'c', 'gone']);
  expect(visited).toEqual(['a', 'x', 'b', 'd', 'c', '-gone']);
});

test('indexes in indexes are followed down to the limit', async () => {
  const graph = Object.fromEntries(Array.from({ length: 12 }, (_, depth) => [`${depth}`, [`${depth + 1}`]]));
  const { reads, visited } = await walk(graph, ['0']);
  expect(reads).toHaveLength(walkLimits.depth + 1);
  expect(visited.at(-1)).toBe(`-${walkLimits.depth + 1}`);
});

test('beyond the limits of manifests and descriptors nothing is read, and what is left counts as not held', async () => {
  const names = Array.from({ length: walkLimits.manifests + 5 }, (_, at) => `m${at}`);
  const many = await walk(Object.fromEntries([['root', names], ...names.map(name => [name, []])]), ['root']);
  expect(many.reads).toHaveLength(walkLimits.manifests);
  expect(many.visited).toHaveLength(names.length + 1);
  const fat = await walk({ a: ['b'], b: ['c'], c: [] }, ['a'], walkLimits.descriptors / 2);
  expect(fat.visited).toEqual(['a', '-b']);
});

test('other work runs in between', async () => {
  let nowMs = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => {
    nowMs += 0.25; // so long each manifest takes
    return nowMs;
  });
  const names = Array.from({ length: 4000 }, (_, at) => `m${at}`);
  const { visited, turns } = await walk({ root: names }, ['root']);
  expect(visited).toHaveLength(names.length + 1);
  expect(turns).toBeGreaterThanOrEqual(4000 / 4 / 10 - 5); // a turn for each 10 ms of work
});

test('blobs that an index lists are not read as manifests', async () => {
  const blob = { ...named('cache'), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' };
  const parsed: ParsedManifest = { kind: 'index', mediaType: ociIndex, layers: [], manifests: [blob] };
  const reads: Digest[] = [];
  const read = async ({ digest }: { readonly digest: Digest }) => {
    reads.push(digest);
    return { parsed };
  };
  for await (const { found } of walkManifests([named('index')], read)) expect(found?.parsed).toBe(parsed);
  expect(reads).toEqual([named('index').digest]);
});
