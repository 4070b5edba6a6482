/**
 * The one 401 of the house: a client sent credentials that are wrong. Who sends none never sees it, so that no client is
 * asked to offer a password that it has for somebody else.
 */
import { formatChallenge } from '../oci/challenge.ts';
import { RegistryError } from '../oci/error.ts';

export class WrongCredentials extends RegistryError {
  /** Value of `WWW-Authenticate`, which RFC 9110 15.5.2 wants with every 401. */
  readonly challenge = formatChallenge({ scheme: 'basic', parameters: new Map([['realm', 'Cistern']]) });

  constructor() {
    super('UNAUTHORIZED', { message: 'expected a name and password of this mirror, got others' });
    this.name = 'WrongCredentials';
  }
}
