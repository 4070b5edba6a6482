/** Every image that is held, mirrored and hosted alike: searched as one types, grouped by repository, in pages. */
import { useEffect, useState } from 'preact/hooks';
import type { ImageRow, ImagesAnswer } from '../../http/api/schema/images.ts';
import { Empty, Failure, Skeleton } from '../parts/loading.tsx';
import { PageHead } from '../parts/section.tsx';
import { announce } from '../state/announcer.ts';
import { replaceQuery, route } from '../state/navigation.ts';
import { type Paged, type PagedState, usePaged } from '../state/paged.ts';
import { formatCounted } from '../text/figures.ts';
import { formatRoute } from '../text/route.ts';
import { longestWord, rankNames } from '../text/search.ts';
import { type ImageGroup, ImageTable } from './image-table.tsx';

const pageSize = 100;
/** Typing goes on meanwhile: one question for a word, not one for each of its letters. */
const typingMs = 120;
const countingMs = 2000;
const countings = 10;

export function Images() {
  const { q = '', repository = '' } = route.value.query;
  const [typed, setTyped] = useState(q);
  useEffect(() => setTyped(q), [repository]);
  useEffect(() => {
    if (typed === q) return undefined;
    const timer = setTimeout(() => replaceQuery({ q: typed, repository }), typingMs);
    return () => clearTimeout(timer);
  }, [typed, q, repository]);
  const images = usePaged<ImagesAnswer>(
    'images',
    { n: pageSize, q: longestWord(q), repository },
    hasNoImages,
  );
  const state = images.state.value;
  const groups = rankNames(groupByRepository(imagesOf(state)), ({ repository: name }) => name, q);
  const count = groups.reduce((total, { images: rows }) => total + rows.length, 0);
  useCounting(images, state);
  const found = describeFound(count, groups.length, state.hasMore);
  useEffect(() => {
    if (q !== '' && !state.isLoading) announce(found);
  }, [q, found, state.isLoading]);
  return (
    <>
      <PageHead
        title="Images"
        lead={state.pages === undefined ? 'What is held here, mirrored and hosted.' : `${found}.`}
      />
      <div class="search">
        <label class="visually-hidden" for="image-search">
          Search repositories
        </label>
        <input
          id="image-search"
          type="search"
          placeholder="Search repositories, such as alpine or team/app"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          value={typed}
          onInput={event => setTyped(event.currentTarget.value)}
        />
        {repository !== '' && (
          <p class="search-within">
            in <code>{repository}</code> <a href={formatRoute('images', { q })}>show all repositories</a>
          </p>
        )}
      </div>
      {state.error !== undefined && <Failure error={state.error} again={() => void images.reload()} />}
      {state.pages === undefined && state.error === undefined && <Skeleton lines={12} />}
      {state.pages !== undefined && state.error === undefined && count === 0 && !state.isLoading && (
        <NothingFound isFiltered={q !== '' || repository !== ''} />
      )}
      {count > 0 && (
        <div aria-busy={state.isLoading}>
          <ImageTable groups={groups} query={q} />
          {state.hasMore && (
            <button
              type="button"
              class="button more"
              disabled={state.isLoading}
              onClick={() => void images.more()}
            >
              {state.isLoading ? 'Loading…' : 'Show more'}
            </button>
          )}
        </div>
      )}
    </>
  );
}

/** Own bytes are counted in the background after a change: what is shown is read again until they are known, a few times. */
function useCounting(images: Paged<ImagesAnswer>, state: PagedState<ImagesAnswer>): void {
  const [count, setCount] = useState(0);
  const isCounting = imagesOf(state).some(({ ownBytes }) => ownBytes === null);
  useEffect(() => {
    // Only the first page: reading several anew would move what is looked at.
    if (!isCounting || count >= countings || state.isLoading || (state.pages?.length ?? 0) > 1)
      return undefined;
    const timer = setTimeout(() => {
      setCount(count + 1);
      void images.reload();
    }, countingMs);
    return () => clearTimeout(timer);
  }, [images, isCounting, count, state]);
}

function NothingFound({ isFiltered }: { readonly isFiltered: boolean }) {
  if (isFiltered)
    return <Empty title="No image that you may see fits.">Only names of repositories are searched.</Empty>;
  return (
    <Empty title="Nothing is held yet.">
      Images appear here once a client has pulled or pushed one.{' '}
      <a href={formatRoute('setup')}>Point a client at this mirror</a>.
    </Empty>
  );
}

function imagesOf({ pages }: PagedState<ImagesAnswer>): readonly ImageRow[] {
  return (pages ?? []).flatMap(({ images }) => images);
}

function hasNoImages({ images }: ImagesAnswer): boolean {
  return images.length === 0;
}

function groupByRepository(images: readonly ImageRow[]): readonly ImageGroup[] {
  const groups = new Map<string, ImageRow[]>();
  for (const image of images) groups.set(image.repository, [...(groups.get(image.repository) ?? []), image]);
  return Array.from(groups, ([repository, rows]) => ({ repository, images: rows }));
}

function describeFound(images: number, repositories: number, hasMore: boolean): string {
  const more = hasMore ? ', and more' : '';
  return `${formatCounted(images, 'image')} in ${formatCounted(repositories, 'repository', 'repositories')}${more}`;
}
