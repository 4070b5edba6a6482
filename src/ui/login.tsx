/** Logging in: name and password, and back to where one came from. The words of the registry say what was wrong. */
import { useState } from 'preact/hooks';
import { Notice } from './parts/notice.tsx';
import { PageHead } from './parts/section.tsx';
import { ApiError } from './state/api.ts';
import { openView, route } from './state/navigation.ts';
import { logIn, session } from './state/session.ts';
import { formatSentence } from './text/figures.ts';
import { formatRoute, parseRoute } from './text/route.ts';

export function Login() {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [error, setError] = useState<string | undefined>();
  const [isBusy, setBusy] = useState(false);
  const { value } = session;
  if (value?.user != null)
    return (
      <PageHead
        title="You are logged in"
        lead={
          <>
            as {value.user}. <a href={formatRoute('overview')}>Go to the overview</a>.
          </>
        }
      />
    );
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await logIn(name, password);
      goBack();
    } catch (failure) {
      if (!(failure instanceof ApiError)) throw failure;
      setError(failure.message);
      setBusy(false);
    }
  };
  return (
    <div class="login">
      <PageHead title="Log in" lead="With the name and password that docker login takes here." />
      {value?.canLogIn === false && (
        <Notice tone="note" title="There are no users here">
          All can read, and changes are made on the machine itself. access.htpasswd or access.ldap in
          mirror.yml adds users.
        </Notice>
      )}
      <form class="form" onSubmit={event => void submit(event)}>
        <div class="field">
          <label for="login-name">Name</label>
          <input
            id="login-name"
            autocomplete="username"
            autocapitalize="none"
            spellcheck={false}
            required
            value={name}
            onInput={event => setName(event.currentTarget.value)}
          />
        </div>
        <div class="field">
          <label for="login-password">Password</label>
          <input
            id="login-password"
            type="password"
            autocomplete="current-password"
            required
            value={password}
            onInput={event => setPassword(event.currentTarget.value)}
          />
        </div>
        <div role="alert">{error !== undefined && <Notice tone="bad" title={formatSentence(error)} />}</div>
        <button type="submit" class="button button-main" disabled={isBusy}>
          {isBusy ? 'Logging in…' : 'Log in'}
        </button>
      </form>
    </div>
  );
}

/** Only to views of this page: the address comes from the address bar. */
function goBack(): void {
  const [path = '', search = ''] = (route.value.query['next'] ?? '').split('?');
  const { view, query } = parseRoute(path, search);
  if (view === 'missing' || view === 'login') openView('overview');
  else openView(view, query);
}
