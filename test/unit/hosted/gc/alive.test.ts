/** Which manifests and links of a hosted repository a collection keeps, rule by rule, and against a model on random histories. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CollectionPolicy, decideCollection } from '../../../../src/hosted/gc/alive.ts';
import type { HostedChange, HostedRepository } from '../../../../src/hosted/log/hosted-log.ts';
import { RepositoryState } from '../../../../src/hosted/log/repository-state.ts';
import { RepositoryView } from '../../../../src/hosted/log/repository-view.ts';
import type { Digest } from '../../../../src/oci/digest.ts';
import { app, digestNo, link, manifest, tag } from '../../../support/hosted-log.ts';

const hour = 3_600_000;
const day = 24 * hour;
const policy: CollectionPolicy = { graceMs: day, undeleteMs: day, untaggedTtlMs: 30 * day };

function repositoryOf(changes: readonly HostedChange[]): HostedRepository {
  const state = new RepositoryState();
  for (const change of changes) state.apply([change]);
  return new RepositoryView(app, state);
}

const numbers = new Map(Array.from({ length: 40 }, (_, n) => [digestNo(n), n]));

/** By the numbers of the digests. */
function collect(changes: readonly HostedChange[], now: number, over: Partial<CollectionPolicy> = {}) {
  const { kept, manifests, links } = decideCollection(repositoryOf(changes), now, { ...policy, ...over });
  const numbered = (map: ReadonlyMap<Digest, string>) =>
    Object.fromEntries(Array.from(map, ([digest, why]) => [numbers.get(digest), why]));
  return {
    kept: numbered(kept),
    dropped: numbered(manifests),
    unlinked: Array.from(links, digest => numbers.get(digest)).sort(),
  };
}

const untag = (name: string, at: number): HostedChange => ({
  type: 'untag',
  tag: tag(name),
  at,
  how: 'delete',
});
const remove = (n: number, at: number): HostedChange => {
  return { type: 'delete-manifest', digest: digestNo(n), at, how: 'delete' };
};
const pulled = (n: number, at: number): HostedChange => ({ type: 'pulled', digest: digestNo(n), at });

/** Image 1: config 11, layer 12. */
const image = [link(11, 0), link(12, 0), manifest(1, ['v1'], { at: 0, names: [11, 12] })];

test('a tagged image stays for ever, with its blobs', () => {
  expect(collect(image, 1000 * day)).toEqual({ kept: { 1: 'tag' }, dropped: {}, unlinked: [] });
});

test('an index keeps its children with their blobs, and everything alive keeps its referrers and theirs', () => {
  const changes = [
    ...[link(11, 0), link(12, 0)],
    manifest(1, [], { at: 0, names: [11] }),
    manifest(2, ['v1'], { at: 0, names: [1] }),
    manifest(3, [], { at: 0, names: [12], subject: 1 }),
    manifest(4, [], { at: 0, subject: 3 }),
  ];
  const kept = { 1: 'index', 2: 'tag', 3: 'referrer', 4: 'referrer' };
  expect(collect(changes, 1000 * day)).toEqual({ kept, dropped: {}, unlinked: [] });
});

test('a BuildKit cache index, whose children are layers, loses nothing, nor one whose layer is a manifest', () => {
  const changes = [
    ...[link(11, 0), link(12, 0), link(13, 0)],
    manifest(5, ['cache'], { at: 0, names: [11, 12] }),
    manifest(6, [], { at: 0, names: [13] }),
    manifest(7, ['artifact'], { at: 0, names: [6] }),
  ];
  expect(collect(changes, 1000 * day)).toEqual({
    kept: { 5: 'tag', 6: 'index', 7: 'tag' },
    dropped: {},
    unlinked: [],
  });
});

test('links that no manifest needs go after gc_grace, counted from the last push, mount or HEAD by a pusher', () => {
  const changes = [link(11, 0), link(12, 0), link(12, hour)];
  expect(collect(changes, day - 1).unlinked).toEqual([]);
  expect(collect(changes, day).unlinked).toEqual([11]);
  expect(collect(changes, day + hour).unlinked).toEqual([11, 12]);
  expect(collect(changes, -day).unlinked).toEqual([]); // the clock went back
});

test('an overwritten image stays for untagged_ttl since it was pushed, pulled or overwritten last; 0 is for ever', () => {
  const changes = [...image, manifest(2, ['v1'], { at: 2 * day })];
  expect(collect(changes, 32 * day - 1).kept).toEqual({ 1: 'untagged', 2: 'tag' });
  expect(collect(changes, 32 * day)).toEqual({
    kept: { 2: 'tag' },
    dropped: { 1: 'untagged' },
    unlinked: [11, 12],
  });
  expect(collect([...changes, pulled(1, 5 * day)], 35 * day - 1).kept).toEqual({ 1: 'untagged', 2: 'tag' });
  expect(collect([...changes, pulled(1, 5 * day)], 35 * day).dropped).toEqual({ 1: 'untagged' });
  expect(collect(changes, 1000 * day, { untaggedTtlMs: 0 }).dropped).toEqual({});
});

test('one that never had a tag stays as long, because clients pull by digest too', () => {
  const changes = [manifest(1, [], { at: 0 })];
  expect(collect(changes, 30 * day - 1).kept).toEqual({ 1: 'untagged' });
  expect(collect(changes, 30 * day).dropped).toEqual({ 1: 'untagged' });
});

test.each([
  ['its tag', [untag('v1', 10 * day)]],
  ['its digest', [remove(1, 10 * day)]],
])(
  'an image that was deleted by %s stays for undelete, and then goes with its blobs, however lately it was pulled',
  (_by, deletes) => {
    const changes = [...image, pulled(1, 10 * day), ...deletes];
    expect(collect(changes, 11 * day - 1)).toEqual({ kept: { 1: 'deleted' }, dropped: {}, unlinked: [] });
    expect(collect(changes, 11 * day)).toEqual({ kept: {}, dropped: { 1: 'deleted' }, unlinked: [11, 12] });
  },
);

test('children and referrers of a deleted index go with it, but not those that something else keeps', () => {
  const changes = [
    manifest(1, [], { at: 0 }),
    manifest(2, [], { at: 0 }),
    manifest(3, ['v1'], { at: 0, names: [1, 2] }),
    manifest(4, ['v2'], { at: 0, names: [2] }),
    manifest(5, [], { at: 0, subject: 1 }),
    manifest(6, [], { at: 10 * day, subject: 3 }),
    remove(3, 10 * day),
  ];
  expect(collect(changes, 11 * day - 1).dropped).toEqual({});
  expect(collect(changes, 11 * day)).toEqual({
    kept: { 2: 'index', 4: 'tag' },
    dropped: { 1: 'of a deleted image', 3: 'deleted', 5: 'of a deleted image', 6: 'of a deleted image' },
    unlinked: [],
  });
});

test('a deleted child of an alive index keeps its content', () => {
  const changes = [
    manifest(1, [], { at: 0, names: [11] }),
    link(11, 0),
    manifest(2, ['v1'], { at: 0, names: [1] }),
    remove(1, day),
  ];
  expect(collect(changes, 100 * day)).toEqual({ kept: { 1: 'index', 2: 'tag' }, dropped: {}, unlinked: [] });
});

test('a push or a HEAD by a pusher after the delete is a new life', () => {
  const deleted = [...image, untag('v1', 10 * day)];
  expect(collect([...deleted, manifest(1, [], { at: 12 * day, names: [] })], 20 * day).kept).toEqual({
    1: 'untagged',
  });
  expect(collect([...deleted, link(1, 12 * day)], 12 * day + hour).kept).toEqual({ 1: 'pushed' });
});

/** Said anew, as sentences over the changes, without a graph walk that remembers anything. */
function model(changes: readonly HostedChange[], now: number) {
  const repository = repositoryOf(changes);
  const all = [...repository.manifests(), ...repository.deletedManifests()];
  const isDeleted = (digest: Digest) => repository.manifest(digest) === undefined;
  const alive = new Set<Digest>();
  for (let before = -1; before !== alive.size; ) {
    before = alive.size;
    for (const { descriptor, subject } of all) {
      const { digest } = descriptor;
      const isNamed = all.some(other => alive.has(other.descriptor.digest) && other.names.includes(digest));
      const isReferrer = subject !== undefined && alive.has(subject) && !isDeleted(digest);
      if (repository.tagsOf(digest).length > 0 || isNamed || isReferrer) alive.add(digest);
      const linkAt = repository.link(digest)?.at ?? 0;
      const pushedAt = all.find(one => one.descriptor.digest === digest)?.at ?? 0;
      if (now - Math.max(linkAt, pushedAt) < policy.graceMs) alive.add(digest);
    }
  }
  return { repository, all, alive };
}

const step = fc.oneof(
  fc.record({
    type: fc.constant('push'),
    n: fc.nat(9),
    names: fc.uniqueArray(fc.nat(19), { maxLength: 3 }),
    tags: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 }),
    subject: fc.option(fc.nat(9), { nil: undefined }),
  }),
  fc.record({ type: fc.constant('link'), n: fc.integer({ min: 10, max: 19 }) }),
  fc.record({ type: fc.constant('untag'), tag: fc.constantFrom('a', 'b', 'c') }),
  fc.record({ type: fc.constant('delete'), n: fc.nat(9) }),
  fc.record({ type: fc.constant('pull'), n: fc.nat(9) }),
);

function changesOf(
  steps: readonly { at: number; step: typeof step extends fc.Arbitrary<infer T> ? T : never }[],
): HostedChange[] {
  return steps.map(({ at, step: one }) => {
    if ('names' in one)
      return manifest(one.n, one.tags, {
        at,
        names: one.names,
        ...(one.subject !== undefined && { subject: one.subject }),
      });
    if ('tag' in one) return untag(one.tag, at);
    if (one.type === 'link') return link(one.n, at);
    return one.type === 'delete' ? remove(one.n, at) : pulled(one.n, at);
  });
}

test('1,000 random histories: what a model of the rules keeps is kept, with all links, and a second run drops nothing', () => {
  const history = fc.array(fc.record({ wait: fc.nat(20 * day), step }), { maxLength: 30 });
  fc.assert(
    fc.property(history, fc.nat(60 * day), (steps, later) => {
      let at = 0;
      const timed = steps.map(({ wait, step: one }) => {
        at += wait;
        return { at, step: one };
      });
      const changes = changesOf(timed);
      const now = at + later;
      const { repository, all, alive } = model(changes, now);
      const collection = decideCollection(repository, now, policy);
      for (const digest of alive) expect(collection.manifests.has(digest)).toBe(false);
      for (const { descriptor, names } of all) {
        const isKept = collection.kept.has(descriptor.digest);
        expect(collection.manifests.has(descriptor.digest)).toBe(!isKept);
        if (!isKept) continue;
        for (const name of names)
          expect([collection.links.has(name), collection.manifests.has(name)]).toEqual([false, false]);
      }
      const needed = new Set(
        all.filter(one => collection.kept.has(one.descriptor.digest)).flatMap(({ names }) => names),
      );
      const known = new Set(all.map(({ descriptor }) => descriptor.digest));
      for (const { digest, at: linkedAt } of repository.links()) {
        const isLoose = !needed.has(digest) && !known.has(digest) && now - linkedAt >= policy.graceMs;
        expect(collection.links.has(digest)).toBe(isLoose);
      }
      const cause = { at: now, how: 'collect' } as const;
      const after = repositoryOf([
        ...changes,
        ...Array.from(
          collection.manifests.keys(),
          (digest): HostedChange => ({ type: 'drop-manifest', digest, ...cause }),
        ),
        ...Array.from(collection.links, (digest): HostedChange => ({ type: 'unlink', digest, ...cause })),
      ]);
      const again = decideCollection(after, now, policy);
      expect([again.manifests.size, again.links.size]).toEqual([0, 0]);
    }),
    { numRuns: 1000 },
  );
});

test('years later nothing is left but what tags need', () => {
  const history = fc.array(fc.record({ at: fc.nat(day), step }), { maxLength: 30 });
  fc.assert(
    fc.property(history, steps => {
      const repository = repositoryOf(changesOf(steps));
      const { kept, manifests, links } = decideCollection(repository, 3000 * day, policy);
      const all = [...repository.manifests(), ...repository.deletedManifests()];
      const reachable = new Set<Digest>(repository.tags().flatMap(name => repository.tag(name)?.to ?? []));
      for (let before = -1; before !== reachable.size; ) {
        before = reachable.size;
        for (const { descriptor, names, subject } of all) {
          if (reachable.has(descriptor.digest)) for (const name of names) reachable.add(name);
          const isAlive = repository.manifest(descriptor.digest) !== undefined;
          if (isAlive && subject !== undefined && reachable.has(subject)) reachable.add(descriptor.digest);
        }
      }
      const left = Array.from(repository.links(), ({ digest }) => digest).filter(
        digest => !manifests.has(digest) && !links.has(digest),
      );
      expect(left.filter(digest => !reachable.has(digest))).toEqual([]);
      for (const digest of kept.keys())
        expect(reachable.has(digest) || repository.tagsOf(digest).length > 0).toBe(true);
    }),
    { numRuns: 300 },
  );
});
