/** What stands in a section while nothing is known yet, when nothing is there, and when it could not be read. */
import type { ComponentChildren } from 'preact';
import type { ApiError } from '../state/api.ts';
import type { Resource } from '../state/resource.ts';
import { formatSentence } from '../text/figures.ts';
import { formatRoute } from '../text/route.ts';
import { Notice } from './notice.tsx';

interface LoadedProps<T> {
  readonly of: Resource<T>;
  /** Lines of the skeleton: as high as the content will be, so that nothing jumps. */
  readonly lines?: number;
  readonly children: (value: T) => ComponentChildren;
}

/** The content, with the error of a later reading above it; before the first answer a skeleton. */
export function Loaded<T>({ of, lines = 4, children }: LoadedProps<T>) {
  const { value, error, isLoading } = of.state.value;
  const failure = error && !isLoading && <Failure error={error} again={() => void of.reload()} />;
  if (value === undefined) return failure || <Skeleton lines={lines} />;
  return (
    <>
      {failure}
      <div aria-busy={isLoading}>{children(value)}</div>
    </>
  );
}

export function Skeleton({ lines }: { readonly lines: number }) {
  return (
    <div class="skeleton" aria-busy="true">
      <span class="visually-hidden">Loading</span>
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} class="skeleton-line" />
      ))}
    </div>
  );
}

interface EmptyProps {
  readonly title: string;
  readonly children?: ComponentChildren;
}

export function Empty({ title, children }: EmptyProps) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children !== undefined && <div>{children}</div>}
    </div>
  );
}

interface FailureProps {
  readonly error: ApiError;
  readonly again: () => void;
}

/** What to do stands with it: log in where that helps, else try again. */
export function Failure({ error, again }: FailureProps) {
  if (error.status === 401)
    return (
      <Notice tone="note" title="This needs a login">
        {formatSentence(error.message)}{' '}
        <a href={formatRoute('login', { next: location.pathname + location.search })}>Log in</a>
      </Notice>
    );
  return (
    <Notice tone="bad" title={error.status === 0 ? 'No answer' : 'This could not be read'}>
      {formatSentence(error.message)}{' '}
      <button type="button" class="link" onClick={again}>
        Try again
      </button>
    </Notice>
  );
}
