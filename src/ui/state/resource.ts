/**
 * Something that is read from the API, as a signal: its last value stays while it is read anew, and with an error that came
 * later. A newer question withdraws the one before it.
 */
import { type ReadonlySignal, signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { ApiError, type ApiQuery, read } from './api.ts';
import { countChanges, now } from './changes.ts';
import { noteRefusal } from './session.ts';

export interface ResourceState<T> {
  readonly value: T | undefined;
  readonly error: ApiError | undefined;
  readonly isLoading: boolean;
}

export class Resource<T> {
  readonly #state = signal<ResourceState<T>>({ value: undefined, error: undefined, isLoading: false });
  #running: AbortController | undefined;
  #asked: { path: string; query: ApiQuery } | undefined;

  get state(): ReadonlySignal<ResourceState<T>> {
    return this.#state;
  }

  async load(path: string, query: ApiQuery = {}): Promise<void> {
    this.#asked = { path, query };
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    this.#state.value = { ...this.#state.value, isLoading: true };
    try {
      const value = await read<T>(path, query, running.signal);
      if (this.#running === running) this.#state.value = { value, error: undefined, isLoading: false };
    } catch (error) {
      if (this.#running !== running) return; // a newer question took its place
      if (!(error instanceof ApiError)) throw error;
      noteRefusal(error);
      this.#state.value = { value: this.#state.value.value, error, isLoading: false };
    }
  }

  /** The same question again. */
  async reload(): Promise<void> {
    if (this.#asked !== undefined) await this.load(this.#asked.path, this.#asked.query);
  }

  /** What came by another way: the stream of events, or a page that follows. */
  put(value: T): void {
    this.#state.value = { value, error: undefined, isLoading: false };
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
  }
}

/**
 * A resource of one view: read when the view opens, when its question changes and when an action changed something, withdrawn when the view closes. One that `follows` is
 * read again every now and then, for figures of now.
 */
export function useResource<T>(
  path: string | undefined,
  query: ApiQuery = {},
  { follows = false }: { readonly follows?: boolean } = {},
): Resource<T> {
  const resource = useMemo(() => new Resource<T>(), []);
  const question = JSON.stringify(query);
  const changes = countChanges();
  const tick = follows ? now.value : 0;
  useEffect(() => {
    if (path !== undefined) void resource.load(path, query);
  }, [resource, path, question, changes, tick]);
  useEffect(() => () => resource.stop(), [resource]);
  return resource;
}
