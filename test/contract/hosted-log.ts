/**
 * What every log of hosted repositories must do, whatever it is made of: a commit is durable before it is visible, all of it or nothing,
 * and two commits never decide over the same state.
 */
import { describe, expect, test } from 'vitest';
import { GenerationConflict, type HostedLog } from '../../src/hosted/log/hosted-log.ts';
import { parseRepository } from '../../src/oci/name.ts';
import { app, digestNo, everythingOf, link, manifest, tag, unlink } from '../support/hosted-log.ts';

export interface HostedLogUnderTest {
  /** A process that starts over what is durable now, with everything read. */
  start(): Promise<HostedLog>;
}

/** Gives an empty one. */
export function describeHostedLog(name: string, create: () => Promise<HostedLogUnderTest>): void {
  describe(`${name} as a log of hosted repositories`, () => {
    test('a repository that was never committed to is none', async () => {
      const log = await (await create()).start();
      expect(log.isComplete).toBe(true);
      expect([await log.readRepository(app), log.peek(app), log.names(), log.closed().size]).toEqual([
        undefined,
        undefined,
        [],
        0,
      ]);
    });

    test('a commit is visible when it resolves, and there after a restart', async () => {
      const rig = await create();
      const log = await rig.start();
      const answered = await log.commit(app, [
        link(1),
        manifest(2, ['latest', 'v1'], { names: [1], subject: 3 }),
      ]);
      const read = await log.readRepository(app);
      if (read === undefined) throw new Error('expected a repository');
      expect(everythingOf(read)).toEqual(everythingOf(answered));
      expect(log.peek(app)?.tags()).toEqual(['latest', 'v1']);
      expect(log.names()).toEqual([app]);
      expect(read.link(digestNo(2))).toEqual({
        digest: digestNo(2),
        size: 2,
        at: 2,
        user: 'ann',
        how: 'push',
      });
      expect(read.referrers(digestNo(3)).map(({ descriptor }) => descriptor.digest)).toEqual([digestNo(2)]);
      expect(read.namedBy(digestNo(1)).map(({ descriptor }) => descriptor.digest)).toEqual([digestNo(2)]);
      const again = (await rig.start()).peek(app);
      expect(again && everythingOf(again)).toEqual(everythingOf(read));
    });

    test('names are sorted as bytes, and a repository without content is none of them', async () => {
      const log = await (await create()).start();
      for (const name of ['b', 'a/c', 'a-b', 'a']) await log.commit(parseRepository(name), [link(1)]);
      expect(log.names()).toEqual(['a', 'a-b', 'a/c', 'b']);
      await log.commit(parseRepository('a'), [unlink(1)]);
      expect(log.names()).toEqual(['a-b', 'a/c', 'b']);
    });

    test('of two commits over one generation one wins, also in one turn', async () => {
      const log = await (await create()).start();
      const { generation } = await log.commit(app, [link(1)]);
      const results = await Promise.allSettled([
        log.commit(app, [manifest(2, ['latest'])], generation),
        log.commit(app, [manifest(3, ['latest'])], generation),
        log.commit(app, [link(4)]),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(results[1]).toMatchObject({ reason: expect.any(GenerationConflict) });
      await expect(log.commit(app, [link(5)], generation)).rejects.toBeInstanceOf(GenerationConflict);
      expect(log.peek(app)?.link(digestNo(4))).toBeDefined();
      expect(log.peek(app)?.link(digestNo(5))).toBeUndefined();
    });

    test('what was read before another commit keeps its generation', async () => {
      const log = await (await create()).start();
      await log.commit(app, [link(1)]);
      const read = await log.readRepository(app);
      await log.commit(app, [link(2)]);
      await expect(log.commit(app, [unlink(1)], read?.generation)).rejects.toBeInstanceOf(GenerationConflict);
    });

    test('when something was pulled is kept, and is no change that a commit must know', async () => {
      const rig = await create();
      const log = await rig.start();
      const { generation } = await log.commit(app, [manifest(1, ['latest'])]);
      await log.commit(app, [{ type: 'pulled', digest: digestNo(1), at: 50 }]);
      await log.commit(app, [{ type: 'pulled', digest: digestNo(1), at: 40 }]);
      expect((await log.commit(app, [link(2)], generation)).manifest(digestNo(1))?.pulledAt).toBe(50);
      expect((await rig.start()).peek(app)?.manifest(digestNo(1))?.pulledAt).toBe(50);
    });

    test('two writers of one tag: the last one wins, both manifests are there, the history has both', async () => {
      const log = await (await create()).start();
      await Promise.all([
        log.commit(app, [manifest(1, ['latest'])]),
        log.commit(app, [manifest(2, ['latest'])]),
      ]);
      const read = log.peek(app);
      expect(read?.tag(tag('latest'))?.to).toBe(digestNo(2));
      expect(Array.from(read?.manifests() ?? [])).toHaveLength(2);
      expect(read?.history(tag('latest')).map(({ from, to }) => [from, to])).toEqual([
        [digestNo(1), digestNo(2)],
        [undefined, digestNo(1)],
      ]);
    });

    test('a deleted manifest takes its tags along, keeps its link, and can come back', async () => {
      const log = await (await create()).start();
      await log.commit(app, [manifest(1, ['a', 'b'], { subject: 9 }), manifest(2, ['c'])]);
      let read = await log.commit(app, [
        { type: 'delete-manifest', digest: digestNo(1), at: 7, how: 'delete' },
      ]);
      expect([read.tags(), read.manifest(digestNo(1)), read.referrers(digestNo(9))]).toEqual([
        ['c'],
        undefined,
        [],
      ]);
      expect(Array.from(read.deletedManifests(), ({ deletedAt }) => deletedAt)).toEqual([7]);
      expect(read.link(digestNo(1))).toBeDefined();
      expect(Array.from(read.tagsWithHistory()).sort()).toEqual(['a', 'b', 'c']);
      read = await log.commit(app, [
        { type: 'undelete-manifest', digest: digestNo(1), at: 8, how: 'restore' },
      ]);
      expect([read.tags(), read.referrers(digestNo(9)).length]).toEqual([['c'], 1]);
      read = await log.commit(app, [{ type: 'drop-manifest', digest: digestNo(1), at: 9, how: 'collect' }]);
      expect([read.manifest(digestNo(1)), read.link(digestNo(1))]).toEqual([undefined, undefined]);
      expect(Array.from(read.deletedManifests())).toEqual([]);
    });

    test('a hundred commits of one turn are all there', async () => {
      const rig = await create();
      const log = await rig.start();
      await Promise.all(Array.from({ length: 100 }, (_, n) => log.commit(app, [link(n)])));
      expect(Array.from((await rig.start()).peek(app)?.links() ?? [])).toHaveLength(100);
    });
  });
}
