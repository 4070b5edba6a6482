/**
 * The only two 401s of this registry. HTTP adds the challenge, because its realm depends on the request: a Bearer one for the registry
 * API, never a Basic one there, because dockerd would answer it with its Docker Hub password.
 */
import { RegistryError } from '../oci/error.ts';

/** The client sent a name and a password that are not right, or not checked because too many were wrong. */
export class WrongCredentials extends RegistryError {
  /** Undefined: the next login is checked at once. */
  readonly retryAfterSeconds: number | undefined;
  /** A name that there is. Another one may be a password in the wrong field. */
  readonly user: string | undefined;

  constructor({
    user,
    retryAfterSeconds,
  }: Partial<Pick<WrongCredentials, 'user' | 'retryAfterSeconds'>> = {}) {
    super('UNAUTHORIZED', {
      message:
        retryAfterSeconds === undefined
          ? 'wrong user name or password'
          : `too many failed logins of this name from this address, try again in ${retryAfterSeconds} s`,
    });
    this.name = 'WrongCredentials';
    this.user = user;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The caller has to log in, or needs another token. */
export class LoginRequired extends RegistryError {
  /** As in `WWW-Authenticate`: `repository:team/app:pull,push`. */
  readonly scope: string | undefined;
  readonly reason: 'insufficient_scope' | 'invalid_token' | undefined;

  constructor(message: string, { scope, reason }: Partial<Pick<LoginRequired, 'scope' | 'reason'>> = {}) {
    super('UNAUTHORIZED', { message });
    this.name = 'LoginRequired';
    this.scope = scope;
    this.reason = reason;
  }
}

/** More wait for a check of their login than the lines hold. */
export function tooManyLogins(): RegistryError {
  return new RegistryError('UNAVAILABLE', { message: 'too many logins at once, try again in a moment' });
}
