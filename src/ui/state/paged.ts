/** A list that comes in pages: the first when its question changes, each further one when it is asked for. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { ApiError, type ApiQuery, readPage } from './api.ts';
import { countChanges } from './changes.ts';
import { noteRefusal } from './session.ts';

export interface PagedState<Answer> {
  /** The answers so far, in order. Undefined: none yet. */
  readonly pages: readonly Answer[] | undefined;
  /** There is more. */
  readonly hasMore: boolean;
  readonly error: ApiError | undefined;
  readonly isLoading: boolean;
}

/** Several pages may be empty one after the other: a filter looks at so many entries for each. */
const maxEmptyPages = 20;

export class Paged<Answer> {
  readonly #state = signal<PagedState<Answer>>({
    pages: undefined,
    hasMore: false,
    error: undefined,
    isLoading: false,
  });
  readonly #isEmpty: (answer: Answer) => boolean;
  #running: AbortController | undefined;
  #asked: { path: string; query: ApiQuery } | undefined;
  #next: string | undefined;

  constructor(isEmpty: (answer: Answer) => boolean) {
    this.#isEmpty = isEmpty;
  }

  get state(): ReadonlySignal<PagedState<Answer>> {
    return this.#state;
  }

  /** From the beginning; what is shown stays until the answer is there. */
  async load(path: string, query: ApiQuery): Promise<void> {
    this.#asked = { path, query };
    this.#next = undefined;
    await this.#read([]);
  }

  async reload(): Promise<void> {
    if (this.#asked !== undefined) await this.load(this.#asked.path, this.#asked.query);
  }

  async more(): Promise<void> {
    if (this.#next !== undefined) await this.#read(this.#state.value.pages ?? []);
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
  }

  async #read(before: readonly Answer[]): Promise<void> {
    if (this.#asked === undefined) return;
    const { path, query } = this.#asked;
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    this.#state.value = { ...this.#state.value, isLoading: true };
    try {
      const pages = [...before];
      for (let count = 0; count < maxEmptyPages; count += 1) {
        const { value, next } = await readPage<Answer>(path, { ...query, last: this.#next }, running.signal);
        if (this.#running !== running) return; // a newer question took its place
        this.#next = next;
        pages.push(value);
        if (next === undefined || !this.#isEmpty(value)) break;
      }
      this.#state.value = { pages, hasMore: this.#next !== undefined, error: undefined, isLoading: false };
    } catch (error) {
      if (this.#running !== running) return;
      if (!(error instanceof ApiError)) throw error;
      noteRefusal(error);
      this.#state.value = { ...this.#state.value, error, isLoading: false };
    }
  }
}

/** For one view, as `useResource`. `isEmpty` must not change. */
export function usePaged<Answer>(
  path: string,
  query: ApiQuery,
  isEmpty: (answer: Answer) => boolean,
): Paged<Answer> {
  const paged = useMemo(() => new Paged(isEmpty), [isEmpty]);
  const question = JSON.stringify(query);
  const changes = countChanges();
  useEffect(() => {
    void paged.load(path, query);
  }, [paged, path, question, changes]);
  useEffect(() => () => paged.stop(), [paged]);
  return paged;
}
