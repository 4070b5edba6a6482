/** What is around every view: the bar with the navigation, who is logged in, the light, the messages, and the live region. */
import { useEffect } from 'preact/hooks';
import { ActionDialog } from './actions/action-dialog.tsx';
import { Cold } from './cold/cold.tsx';
import { Image } from './image/image.tsx';
import { Images } from './images/images.tsx';
import { Login } from './login.tsx';
import { Offline } from './offline/offline.tsx';
import { Overview } from './overview/overview.tsx';
import { AutoIcon, BrandIcon, DarkIcon, LightIcon } from './parts/icons.tsx';
import { PageHead } from './parts/section.tsx';
import { Setup } from './setup/setup.tsx';
import { announcement, closeMessage, message, tell } from './state/announcer.ts';
import { ApiError } from './state/api.ts';
import { reopenLive } from './state/live.ts';
import { route, viewChanges } from './state/navigation.ts';
import { logOut, session, sessionChanges } from './state/session.ts';
import { chooseTheme, type Theme, theme } from './state/theme.ts';
import { formatRoute, isInView, navigation } from './text/route.ts';

export function Shell() {
  const opened = viewChanges.value;
  useEffect(() => {
    if (opened > 0) document.getElementById('view-title')?.focus({ preventScroll: true });
  }, [opened]);
  useEffect(() => sessionChanges.subscribe(count => count > 0 && reopenLive()), []);
  return (
    <>
      <a class="skip" href="#content">
        Skip to content
      </a>
      <header class="bar">
        <a class="brand" href={formatRoute('overview')}>
          <BrandIcon />
          Cistern
        </a>
        <nav class="tabs" aria-label="Views">
          {navigation.map(({ view, label }) => (
            <a
              key={view}
              href={formatRoute(view)}
              aria-current={isInView(route.value, view) ? 'page' : undefined}
            >
              {label}
            </a>
          ))}
        </nav>
        <div class="bar-end">
          <Who />
          <Themes />
        </div>
      </header>
      <Message />
      <main id="content" tabIndex={-1}>
        <CurrentView />
      </main>
      <ActionDialog />
      <p class="visually-hidden" role="status">
        {announcement}
      </p>
    </>
  );
}

function CurrentView() {
  const { view } = route.value;
  switch (view) {
    case 'overview':
      return <Overview />;
    case 'images':
      return <Images />;
    case 'image':
      return <Image key={route.value.query['name']} />;
    case 'cold':
      return <Cold />;
    case 'offline':
      return <Offline />;
    case 'setup':
      return <Setup />;
    case 'login':
      return <Login />;
    case 'missing':
      return (
        <PageHead
          title="No such page"
          lead={
            <>
              There is nothing at {location.pathname}.{' '}
              <a href={formatRoute('overview')}>Go to the overview</a>.
            </>
          }
        />
      );
  }
}

function Who() {
  const { value } = session;
  if (value === undefined || (value.user === null && !value.canLogIn)) return null;
  if (value.user === null) {
    const here = route.value.view === 'login' ? {} : { next: location.pathname + location.search };
    return (
      <a class="button button-small" href={formatRoute('login', here)}>
        Log in
      </a>
    );
  }
  const leave = () =>
    logOut().catch((error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
      tell({ tone: 'bad', text: `Logging out did not work: ${error.message}` });
    });
  return (
    <span class="who">
      <span class="who-name" title={value.user}>
        {value.user}
      </span>
      {value.expiresAt !== null && (
        <button type="button" class="button button-small" onClick={() => void leave()}>
          Log out
        </button>
      )}
    </span>
  );
}

const themeChoices: readonly {
  readonly value: Theme;
  readonly label: string;
  readonly Icon: () => preact.JSX.Element;
}[] = [
  { value: 'auto', label: 'Colours as the system has them', Icon: AutoIcon },
  { value: 'light', label: 'Light', Icon: LightIcon },
  { value: 'dark', label: 'Dark', Icon: DarkIcon },
];

function Themes() {
  return (
    <fieldset class="themes" aria-label="Colours">
      {themeChoices.map(({ value, label, Icon }) => (
        <label key={value} title={label}>
          <input
            type="radio"
            name="theme"
            checked={theme.value === value}
            onChange={() => chooseTheme(value)}
            aria-label={label}
          />
          <Icon />
        </label>
      ))}
    </fieldset>
  );
}

/** The outcome of an action that ended while its dialog was closed, or of a log out that failed. */
function Message() {
  const { value } = message;
  if (value === undefined) return null;
  return (
    <div class={`message message-${value.tone}`}>
      <p>{value.text}</p>
      <button type="button" class="link" onClick={closeMessage}>
        Close
      </button>
    </div>
  );
}
