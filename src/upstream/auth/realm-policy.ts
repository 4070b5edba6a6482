/**
 * Which token realm may be dialled. A challenge comes from the network, and the realm in it gets the credentials: so it
 * is on the upstream's own host, or Docker Hub's known one, or named by the owner in `token_hosts`; others aren't asked
 * at all, not even anonymously.
 */
import { HUB } from '../../oci/name.ts';
import { DialRefusal } from '../transport/dial.ts';

const hubTokenHost = 'auth.docker.io';

export interface RealmPolicy {
  readonly url: URL;
  /** `host` or `host:port`. */
  readonly tokenHosts: readonly string[];
}

/** The realm as a URL without userinfo and fragment. Errors: `DialRefusal`. */
export function checkRealm(realm: string, policy: RealmPolicy): URL {
  if (!URL.canParse(realm)) throw new DialRefusal('expected a token realm that is a URL, got something else');
  const url = new URL(realm);
  if (url.protocol !== 'https:' && (url.protocol !== 'http:' || policy.url.protocol === 'https:')) {
    throw new DialRefusal(`expected a token realm on https, got ${url.protocol}//${url.host}`);
  }
  if (!isAllowedHost(url, policy)) {
    throw new DialRefusal(
      `expected a token realm on ${policy.url.host} or in token_hosts, got ${url.host}, which is not asked`,
    );
  }
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

function isAllowedHost(url: URL, policy: RealmPolicy): boolean {
  const own = policy.url.hostname;
  if (url.hostname === own) return true;
  const isHub = own === HUB || own.endsWith(`.${HUB}`);
  if (isHub && url.protocol === 'https:' && url.host === hubTokenHost) return true;
  return policy.tokenHosts.some(host => [url.hostname, url.host].includes(host.toLowerCase()));
}
