/**
 * Where the credentials of one upstream come from. They are asked for each time they are sent, and not kept by the
 * caller, so that they may change while the mirror runs: a password file that is written anew, a helper whose password
 * runs out. `app/open-upstream.ts` chooses the class by the configuration.
 */

export interface Credentials {
  /** The value of `Authorization` for the registry (`Basic …`), and for its token realm. */
  readonly authorization: string;
  /** Instead of a password: what the realm gives tokens for (OAuth 2, `grant_type=refresh_token`). */
  readonly refreshToken?: string;
  /** Milliseconds since the epoch; absent: they stay valid. For a provider that holds them, callers don't look at it. */
  readonly expiresAt?: number;
}

export interface CredentialProvider {
  /**
   * Undefined: none, requests go without. Called for every request that needs them: what takes time is held by the
   * provider. `refused`: what the upstream refused just now; a provider that can looks at once whether there are others.
   * Errors: `UpstreamError` of kind `token`.
   */
  get(refused?: Credentials): Credentials | undefined | Promise<Credentials | undefined>;
}

/** A user name and a password (RFC 7617). */
export function basicCredentials(username: string, password: string): Credentials {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}

/** A user name and a password that do not change. */
export class StaticCredentials implements CredentialProvider {
  readonly #credentials: Credentials;

  constructor(username: string, password: string) {
    this.#credentials = basicCredentials(username, password);
  }

  get(): Credentials {
    return this.#credentials;
  }
}

/** Several credentials for one upstream, by repository: the first that matches, else the upstream's own. */
export interface RepositoryCredentials {
  /** Of the repository as the upstream knows it. */
  matches(repository: string): boolean;
  readonly provider: CredentialProvider;
}
