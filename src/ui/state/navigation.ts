/**
 * The view that is shown, as a signal over the browser's history. Links are ordinary ones: a click with the plain button is
 * followed without loading the page anew, every other click is the browser's own business.
 */
import { signal } from '@preact/signals';
import { formatRoute, pageRoot, parseRoute, type Route, titleOf, type View } from '../text/route.ts';

export const route = signal<Route>(parseRoute(location.pathname, location.search));

/** Counts the views that were opened, and not the changes of the query within one: the focus follows it. */
export const viewChanges = signal(0);

export function openView(view: View, query?: Readonly<Record<string, string>>): void {
  open(formatRoute(view, query), 'push');
}

/** For texts that are typed into the view: going back skips them. */
export function replaceQuery(query: Readonly<Record<string, string>>): void {
  open(formatRoute(route.value.view, query), 'replace');
}

/** To be called once. */
export function followLinks(): void {
  document.title = titleOf(route.value);
  addEventListener('popstate', show);
  document.addEventListener('click', event => {
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (
      !isPlain ||
      event.defaultPrevented ||
      link === null ||
      link.target !== '' ||
      link.hasAttribute('download')
    )
      return;
    const url = new URL(link.href, location.href);
    const isOurs = url.origin === location.origin && url.pathname.startsWith(pageRoot);
    if (!isOurs || (url.pathname === location.pathname && url.hash !== '')) return;
    event.preventDefault();
    open(url.pathname + url.search, 'push');
  });
}

function open(address: string, how: 'push' | 'replace'): void {
  if (how === 'push') history.pushState(null, '', address);
  else history.replaceState(history.state, '', address);
  show();
  if (how === 'push') scrollTo({ top: 0, behavior: 'instant' });
}

function show(): void {
  const before = route.value;
  route.value = parseRoute(location.pathname, location.search);
  document.title = titleOf(route.value);
  const isSame = before.view === route.value.view && before.query['name'] === route.value.query['name'];
  if (!isSame) viewChanges.value += 1;
}
