/** The repositories that the mirror serves, as far as the caller may see them. */
import { expect, test } from 'vitest';
import { ServedRepositories } from '../../../../src/cached/access/served-repositories.ts';
import { anonymousCaller, type Caller } from '../../../../src/registry/caller.ts';
import { StoreRig } from '../store-rig.ts';

const { signal } = new AbortController();

async function catalogOf(names: readonly string[]): Promise<ServedRepositories> {
  const { records } = await StoreRig.create();
  const catalog = new ServedRepositories({
    names: () => names.toSorted(),
    allNames: async () => names.toSorted(),
    visibilityOf: name => records.visibilityOf(name),
    open: name => records.open(name),
  });
  for (const key of ['docker.io', 'ghcr.io']) {
    catalog.add(key, { isAllowed: () => true, isPublic: true, isGuarded: false });
  }
  return catalog;
}

test('names come sorted, in pages', async () => {
  const catalog = await catalogOf(['ghcr.io/b', 'docker.io/library/z', 'docker.io/library/a']);
  expect(await catalog.repositories({ signal })).toEqual({
    outcome: 'hit',
    repositories: ['docker.io/library/a', 'docker.io/library/z', 'ghcr.io/b'],
  });
  expect(await catalog.repositories({ signal, n: 1, last: 'docker.io/library/a' })).toEqual({
    outcome: 'hit',
    repositories: ['docker.io/library/z'],
    next: { last: 'docker.io/library/z', n: 1 },
  });
  expect((await catalog.repositories({ signal, n: 0 })).next).toBeUndefined();
});

test('what the caller may not pull is not there, nor does it count for a page', async () => {
  const catalog = await catalogOf(['ghcr.io/a', 'ghcr.io/secret', 'ghcr.io/z']);
  const caller: Caller = { ...anonymousCaller, mayPull: name => !name.includes('secret') };
  expect(await catalog.repositories({ signal, n: 2, caller })).toEqual({
    outcome: 'hit',
    repositories: ['ghcr.io/a', 'ghcr.io/z'],
  });
});

test('records of an upstream that is no longer configured are not served', async () => {
  const catalog = await catalogOf(['gone.lan/a', 'ghcr.io/a']);
  expect(await catalog.repositories({ signal })).toMatchObject({ repositories: ['ghcr.io/a'] });
  expect([await catalog.record('gone.lan/a'), (await catalog.record('ghcr.io/a'))?.name]).toEqual([
    undefined,
    'ghcr.io/a',
  ]);
});
