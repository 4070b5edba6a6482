/** What one request is sent with: a token or credentials, as an `Authorization` header. */
import type { UpstreamLogin } from './upstream-login.ts';

export interface Authorization {
  /** The header's value. */
  readonly header: string;
  /** The token in it, when it is one. */
  readonly token?: string;
  /** The credentials in it, when they are sent themselves. */
  readonly login?: UpstreamLogin;
  /** Nothing better can be had: a refusal of it is the last word. */
  readonly isFresh: boolean;
}
