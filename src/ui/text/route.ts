/**
 * The addresses of the page's views below /ui/. What a view shows is in its address, so that it can be bookmarked, sent to a
 * colleague and gone back to. Pure functions.
 */

export const pageRoot = '/ui/';

export type View = 'overview' | 'images' | 'image' | 'cold' | 'offline' | 'setup' | 'login' | 'missing';

export interface Route {
  readonly view: View;
  readonly query: Readonly<Record<string, string>>;
}

export interface NavigationEntry {
  readonly view: View;
  readonly label: string;
}

/** In the order of the navigation. */
export const navigation: readonly NavigationEntry[] = [
  { view: 'overview', label: 'Overview' },
  { view: 'images', label: 'Images' },
  { view: 'cold', label: 'Cold' },
  { view: 'offline', label: 'Offline' },
  { view: 'setup', label: 'Set up' },
];

const titles: Readonly<Record<View, string>> = {
  overview: 'Overview',
  images: 'Images',
  image: 'Image',
  cold: 'What is cold',
  offline: 'Offline',
  setup: 'Set up',
  login: 'Log in',
  missing: 'No such page',
};

const views: ReadonlySet<string> = new Set(Object.keys(titles));

/** `path` and `search` as `location` has them. */
export function parseRoute(path: string, search: string): Route {
  const query = Object.fromEntries(new URLSearchParams(search));
  const name = path.startsWith(pageRoot) ? path.slice(pageRoot.length).replace(/\/$/, '') : 'missing';
  if (name === '' || name === 'index.html') return { view: 'overview', query };
  return { view: isView(name) ? name : 'missing', query };
}

/** Empty texts are left out. */
export function formatRoute(view: View, query: Readonly<Record<string, string>> = {}): string {
  const filled = Object.entries(query).filter(([, text]) => text !== '');
  // Names of images stay readable in the address bar: neither `/`, `:` nor `@` has a meaning in a query.
  const search = new URLSearchParams(filled)
    .toString()
    .replaceAll('%2F', '/')
    .replaceAll('%3A', ':')
    .replaceAll('%40', '@');
  return `${pageRoot}${view === 'overview' ? '' : view}${search === '' ? '' : `?${search}`}`;
}

/** Of the browser's tab: the image comes first, because tabs are narrow. */
export function titleOf({ view, query }: Route): string {
  const subject = view === 'image' ? (query['name'] ?? titles.image) : titles[view];
  return `${subject} · Cistern`;
}

/** An image's page belongs to the list of images. */
export function isInView(route: Route, view: View): boolean {
  return route.view === view || (view === 'images' && route.view === 'image');
}

function isView(text: string): text is View {
  return views.has(text) && text !== 'missing';
}
