/**
 * Where the credentials of one upstream come from. They are asked for each time they are sent, and not kept by the
 * caller, so that they may change while the mirror runs.
 *
 * Credentials that run out, as AWS ECR's do after 12 hours, are one more class here: its `get` gives what it holds until a
 * few minutes before `expiresAt`, and then asks the helper (GetAuthorizationToken) once for all that wait
 * (lib/single-flight.ts). `app/upstreams.ts` chooses the class by the configuration; no other file changes.
 */

export interface Credentials {
  /** The value of `Authorization` for the registry (`Basic …`), and for its token realm. */
  readonly authorization: string;
  /** Milliseconds since the epoch; absent: they stay valid. For a provider that holds them, callers don't look at it. */
  readonly expiresAt?: number;
}

export interface CredentialProvider {
  /**
   * Undefined: none, requests go without. Called for every request that needs them: what takes time is held by the
   * provider. Errors: `UpstreamError` of kind `token`.
   */
  get(): Credentials | undefined | Promise<Credentials | undefined>;
}

/** A user name and a password that do not change (RFC 7617). */
export class StaticCredentials implements CredentialProvider {
  readonly #credentials: Credentials;

  constructor(username: string, password: string) {
    const pair = Buffer.from(`${username}:${password}`).toString('base64');
    this.#credentials = { authorization: `Basic ${pair}` };
  }

  get(): Credentials {
    return this.#credentials;
  }
}
