/**
 * `/setup/docker.sh`: a script that makes dockerd on a client pull through this mirror, for those who like `curl … | sh`. It names this very
 * host, so a Host that isn't plainly one is refused: what a request says must never become a command of a shell.
 */
import type { IncomingMessage } from 'node:http';
import type { Middleware } from 'koa';
import { RegistryError } from '../../oci/error.ts';
import type { AppContext, AppState } from '../exchange.ts';
import type { TokenRealm } from '../token-realm.ts';
import { dockerScript } from './docker-script.ts';

export interface SetupScriptOptions {
  readonly realm: Pick<TokenRealm, 'baseOf'>;
  readonly publicUrl?: string | undefined;
  /** PEM text of the mirror's own authority; undefined: clients trust its certificate already. */
  readonly authority?: string | undefined;
  /** Plain names mean images of Docker Hub here. */
  readonly mirrorsHub: boolean;
}

const path = '/setup/docker.sh';
const hostPattern = /^[A-Za-z0-9.:[\]-]+$/;

export function answerSetupScript(options: SetupScriptOptions): Middleware<AppState> {
  return (context, next) => (context.path === path ? answer(context, options) : next());
}

/** Errors: UNSUPPORTED, 405 for another method and 400 for a Host that can't stand in a script. */
function answer(context: AppContext, options: SetupScriptOptions): void {
  const { method, req } = context;
  if (method !== 'GET' && method !== 'HEAD') {
    context.set('Allow', 'GET, HEAD');
    throw new RegistryError('UNSUPPORTED', { message: `${method} is not supported here, only GET and HEAD` });
  }
  const { authority, mirrorsHub } = options;
  const url = urlOf(req, options);
  context.status = 200;
  context.set('Content-Type', 'text/x-shellscript; charset=utf-8');
  context.set('Cache-Control', 'no-store');
  context.set('X-Content-Type-Options', 'nosniff');
  context.body = dockerScript({
    url: url.origin,
    host: url.port === '' && url.protocol === 'http:' ? `${url.host}:80` : url.host,
    isPlainHttp: url.protocol === 'http:',
    mirrorsHub,
    authority,
  });
}

function urlOf(request: IncomingMessage, { publicUrl, realm }: SetupScriptOptions): URL {
  const { host = '' } = request.headers;
  const base = publicUrl ?? (hostPattern.test(host) ? realm.baseOf(request) : '');
  const url = URL.canParse(base) ? new URL(base) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && hostPattern.test(url.host)) return url;
  throw new RegistryError('UNSUPPORTED', {
    status: 400,
    message: 'the Host of the request can not stand in a script: set public_url, or ask by another name',
  });
}
