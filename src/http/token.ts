/**
 * `/token`: tokens by GET with Basic credentials, and by POST with a form (containerd asks so first). Scopes that anonymous callers may have
 * get a token whatever the credentials, because clients send those of Docker Hub here; without a scope, or for any other one, wrong
 * credentials are 401: that is how a client's login finds out.
 */
import type { Middleware } from 'koa';
import type { Access, Authenticated } from '../auth/access.ts';
import { parseBasic } from '../auth/identity/credentials.ts';
import { parseScopes, type Scope } from '../auth/tokens/scope.ts';
import { RegistryError } from '../oci/error.ts';
import { canonicalNameOf, type Directory } from '../registry/directory.ts';
import type { AppContext, AppState } from './exchange.ts';
import { readWholeBody } from './server/request-body.ts';
import { isTokenTarget } from './token-realm.ts';
import { may, type RepositoryAction } from './v2/rights.ts';

export interface TokenOptions {
  readonly access: Access;
  readonly directory: Pick<Directory, 'find'>;
}

const formType = 'application/x-www-form-urlencoded';
const bodyLimits = {
  max: {
    bytes: 64 * 1024,
    error: () => new RegistryError('SIZE_INVALID', { status: 413, message: 'the form is too large' }),
  },
  idleMs: 10_000,
};

export function answerTokens(options: TokenOptions): Middleware<AppState> {
  return (context, next) => (isTokenTarget(context.req.url ?? '') ? answer(context, options) : next());
}

interface Question {
  readonly credentials: ReturnType<typeof parseBasic>;
  readonly scopes: readonly Scope[];
}

async function answer(context: AppContext, options: TokenOptions): Promise<void> {
  const { access } = options;
  const { exchange } = context.state;
  exchange.kind = 'token';
  if (!access.hasUsers || exchange.connection?.takesLogins === false) {
    throw new RegistryError('UNSUPPORTED', {
      status: 404,
      message: 'there are no logins here, and no tokens',
    });
  }
  const query = new URLSearchParams(context.querystring);
  const { credentials, scopes } = await readQuestion(context, query);
  const ns = query.get('ns') ?? undefined;
  const anonymous = access.anonymous(exchange.client);
  const isLenient =
    scopes.length > 0 &&
    scopes.every(scope => mayHave(anonymous, scope, ns, context.req.headers.host, options));
  const identity = await access.login(credentials, exchange.client, { isLenient });
  exchange.user = identity?.user;
  const issued = await access.issueToken(identity, scopes);
  if (issued === undefined)
    throw new RegistryError('UNAVAILABLE', { message: 'logins are being switched off' });
  const { token, expiresInSeconds, issuedAtMs } = issued;
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  context.body = JSON.stringify({
    token,
    access_token: token,
    expires_in: expiresInSeconds,
    issued_at: new Date(issuedAtMs).toISOString().replace(/\.\d+Z$/, 'Z'),
  });
}

/** Errors: UNSUPPORTED for another method, another kind of grant or another body; SIZE_INVALID; those of the body. */
async function readQuestion(context: AppContext, query: URLSearchParams): Promise<Question> {
  const { req } = context;
  const basic = parseBasic(req.headers.authorization);
  if (req.method === 'GET') return { credentials: basic, scopes: parseScopes(query.getAll('scope')) };
  if (req.method !== 'POST') {
    context.set('Allow', 'GET, POST');
    throw new RegistryError('UNSUPPORTED', {
      message: `${req.method} is not supported here, only GET and POST`,
    });
  }
  if (!(req.headers['content-type'] ?? '').toLowerCase().startsWith(formType))
    throw badRequest(`the body of a POST is a form (${formType})`);
  const form = new URLSearchParams((await readWholeBody(req, context.res, bodyLimits)).toString('utf8'));
  const scopes = parseScopes([...query.getAll('scope'), ...form.getAll('scope')]);
  const grant = form.get('grant_type');
  if (grant === null) return { credentials: basic, scopes };
  if (grant !== 'password')
    throw badRequest('this registry knows only grant_type=password, it gives no refresh tokens');
  const [name, password] = [form.get('username'), form.get('password')];
  if (!name && !password) return { credentials: basic, scopes };
  return { credentials: checked(name ?? '', password ?? ''), scopes };
}

/** The same limits as those of Basic. */
function checked(name: string, password: string): Question['credentials'] {
  const encoded = Buffer.from(`${name}:${password}`).toString('base64');
  const credentials = parseBasic(`Basic ${encoded}`);
  return typeof credentials === 'object' && credentials.name !== name ? 'malformed' : credentials; // a colon in the name
}

/** A name that no registry here has counts as one that anonymous callers may have: its request is answered without regard to rights. */
function mayHave(
  { caller }: Authenticated,
  { type, name, actions }: Scope,
  ns: string | undefined,
  host: string | undefined,
  { directory }: TokenOptions,
): boolean {
  if (type === 'registry') return true;
  let canonicalName: string;
  try {
    canonicalName = canonicalNameOf(directory.find(name, ns, host));
  } catch (error) {
    if (error instanceof RegistryError) return true;
    throw error;
  }
  const wanted = actions.flatMap((action): readonly RepositoryAction[] => {
    if (action === '*') return ['pull', 'push', 'delete'];
    return action === 'pull' || action === 'push' || action === 'delete' ? [action] : [];
  });
  return wanted.every(action => may(caller, { action, canonicalName }));
}

function badRequest(message: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { status: 400, message });
}
