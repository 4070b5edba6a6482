/** A view of figures, which are for users alone where there are any: visitors are told so, and where to log in. */
import type { ComponentChildren } from 'preact';
import { isSessionKnown, needsLogin } from '../state/session.ts';
import { formatRoute } from '../text/route.ts';
import { Skeleton } from './loading.tsx';
import { PageHead } from './section.tsx';

interface UsersOnlyProps {
  readonly title: string;
  /** What the view would show: `how much was saved`. */
  readonly what: string;
  readonly children: () => ComponentChildren;
}

export function UsersOnly({ title, what, children }: UsersOnlyProps) {
  if (!isSessionKnown.value)
    return (
      <>
        <PageHead title={title} />
        <Skeleton lines={10} />
      </>
    );
  if (!needsLogin()) return <>{children()}</>;
  return (
    <>
      <PageHead title={title} lead={`Users of this mirror see here ${what}.`} />
      <p class="buttons">
        <a
          class="button button-main"
          href={formatRoute('login', { next: location.pathname + location.search })}
        >
          Log in
        </a>
        <a class="button" href={formatRoute('images')}>
          Images that all may pull
        </a>
        <a class="button" href={formatRoute('setup')}>
          Point a client at this mirror
        </a>
      </p>
    </>
  );
}
