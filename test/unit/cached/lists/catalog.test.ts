/** What the mirror holds, as far as the caller may know. */
import { expect, test } from 'vitest';
import { Catalog } from '../../../../src/cached/lists/catalog.ts';

const { signal } = new AbortController();

function catalogOf(names: readonly string[], mayPull: (name: string) => boolean = () => true) {
  async function* all() {
    yield* names;
  }
  return new Catalog({ names: all, mayPull });
}

test('names come sorted, in pages', async () => {
  const catalog = catalogOf(['ghcr.io/b', 'docker.io/library/z', 'docker.io/library/a']);
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
  const catalog = catalogOf(['h/a', 'h/secret', 'h/z'], name => !name.includes('secret'));
  expect(await catalog.repositories({ signal, n: 2 })).toEqual({
    outcome: 'hit',
    repositories: ['h/a', 'h/z'],
  });
});
