/**
 * The authorizers of one account: that of the upstream's own host, with the credentials, and those of other registries that
 * redirects lead to. These are anonymous: a token there is of that registry's realm, under the same rules for realms.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { parseEndpoint } from '../../oci/endpoint.ts';
import { parseRepository, type Repository } from '../../oci/name.ts';
import { hostAndPort } from '../transport/dial.ts';
import { Authorizer, type AuthorizerOptions } from './authorizer.ts';
import type { Authorization } from './upstream-login.ts';

/** A registry that redirects to ever new hosts must not fill the memory. */
const maxHosts = 64;

export class RegistryAuthorizers {
  readonly own: Authorizer;
  readonly #options: AuthorizerOptions;
  readonly #elsewhere: ExpiringMap<string, Authorizer>;

  constructor(options: AuthorizerOptions) {
    const { now } = options;
    this.own = new Authorizer(options);
    this.#options = options;
    this.#elsewhere = new ExpiringMap({ maxEntries: maxHosts, ttlMs: Number.POSITIVE_INFINITY, now });
  }

  /** For a redirect's target that has asked for a token before. Errors: as `Authorizer.prepare`. */
  async prepareElsewhere(target: URL, signal: AbortSignal): Promise<Authorization | undefined> {
    const repository = repositoryAt(target);
    const authorizer = this.#elsewhere.get(hostAndPort(target));
    if (repository === undefined || authorizer === undefined) return undefined;
    return await authorizer.prepare(repository, signal);
  }

  /** After 401 or 403 of a redirect's target. Undefined: it is no registry, or denies it. Errors: as `Authorizer.renew`. */
  async renewElsewhere(
    answer: Parameters<Authorizer['renew']>[0] & { readonly url: URL },
    used: Authorization | undefined,
    signal: AbortSignal,
  ): Promise<Authorization | undefined> {
    const repository = repositoryAt(answer.url);
    if (repository === undefined) return undefined;
    const host = hostAndPort(answer.url);
    const { policy, tokens, now } = this.#options;
    const authorizer =
      this.#elsewhere.get(host) ??
      new Authorizer({
        policy: { url: new URL(answer.url.origin), tokenHosts: policy.tokenHosts },
        loginOf: () => undefined,
        tokens,
        now,
      });
    const renewed = await authorizer.renew(answer, used, repository, signal);
    this.#elsewhere.set(host, authorizer);
    return renewed;
  }
}

/** Undefined: the URL is no registry's endpoint, but perhaps a store's. */
function repositoryAt({ pathname }: URL): Repository | undefined {
  try {
    const { endpoint } = parseEndpoint('GET', pathname);
    return 'name' in endpoint ? parseRepository(endpoint.name) : undefined;
  } catch {
    return undefined;
  }
}
