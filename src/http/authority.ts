/**
 * `GET /ca.pem`: the certificate of the mirror's own authority, for clients that are to trust it. It needs no login and is
 * served over plain HTTP too: it is no secret. `cistern certs` prints its fingerprint, to compare with.
 */
import type { Middleware } from 'koa';
import { RegistryError } from '../oci/error.ts';
import type { AppState } from './exchange.ts';

const authorityPath = '/ca.pem';

/** `authority`: PEM text. */
export function answerAuthority(authority: string): Middleware<AppState> {
  return (context, next) => {
    if (context.path !== authorityPath) return next();
    if (context.method !== 'GET' && context.method !== 'HEAD') {
      context.set('Allow', 'GET, HEAD');
      throw new RegistryError('UNSUPPORTED', {
        message: `${context.method} is not supported here, only GET and HEAD`,
      });
    }
    context.status = 200;
    context.set('Content-Type', 'application/x-pem-file');
    context.set('Cache-Control', 'no-store');
    context.body = authority;
    return undefined;
  };
}
