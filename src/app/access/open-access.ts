/**
 * Who may use the registry, put together from the configuration: users of an htpasswd file, which is read again when it changes, and of an
 * LDAP directory, tokens with keys of the store or of the fleet, and rules over canonical names.
 */
import { Access, type AccessOptions } from '../../auth/access.ts';
import { HtpasswdUsers, parseHtpasswd } from '../../auth/identity/htpasswd.ts';
import type { IdentityProvider } from '../../auth/identity/identity-provider.ts';
import { type LoginEvent, Logins } from '../../auth/identity/logins.ts';
import { openLdap } from '../../auth/identity/open-ldap.ts';
import { Rules } from '../../auth/rules.ts';
import { DerivedTokenKeys, StoredTokenKeys, type TokenKeys } from '../../auth/tokens/token-keys.ts';
import { Tokens } from '../../auth/tokens/tokens.ts';
import type { AccessConfig } from '../../config/access-config.ts';
import { WatchedFile } from '../../config/watched-file.ts';
import { LoginMetrics } from '../../metrics/login-metrics.ts';
import { allowRepositories } from '../../oci/name.ts';
import type { StoreLayout } from '../../store/layout.ts';
import { SecretFile } from '../../store/secret-file.ts';
import type { AppContext } from '../app-context.ts';

export interface OpenedAccess {
  readonly access: Access;
  /** For requests from now on. */
  set(config: AccessConfig): Promise<void>;
}

/** Names the lines of htpasswd that can't be used in the log. */
export async function openAccess(layout: StoreLayout, context: AppContext): Promise<OpenedAccess> {
  const metrics = new LoginMetrics(context.metrics.registry);
  const keys = openKeys(layout, context);
  const onLogin = (event: LoginEvent): void => {
    metrics.loggedIn(event.source, event.result);
    logLogin(event, context);
  };
  let opened: readonly IdentityProvider[] = [];
  const read = async (config: AccessConfig): Promise<AccessOptions> => {
    const providers = await openProviders(config, context);
    for (const provider of opened) provider.close?.();
    opened = providers;
    const rules = config.rules?.map(rule => ({ ...rule, matches: allowRepositories(rule.repositories, []) }));
    const { now } = context;
    const users = {
      logins: new Logins({ providers, onLogin, now }),
      tokens: new Tokens({ keys, ttlMs: config.tokenTtlMs, now }),
    };
    const canLogIn = providers.length > 0;
    const hasUsers = canLogIn || context.config.http.tls?.clients !== undefined;
    return { users: canLogIn ? users : undefined, rules: new Rules(rules, { hasUsers }) };
  };
  const open = async (): Promise<Access> => new Access(await read(context.config.access));
  const access = await context.lifecycle.start('logins', open, () => {
    for (const provider of opened) provider.close?.();
  });
  return { access, set: async config => access.replace(await read(config)) };
}

/** In the order in which they are asked. */
async function openProviders(
  config: AccessConfig,
  context: AppContext,
): Promise<readonly IdentityProvider[]> {
  const { htpasswd, ldap, rules } = config;
  const file = htpasswd === undefined ? undefined : await openHtpasswd(htpasswd, context);
  if (ldap === undefined) return file === undefined ? [] : [file];
  const { logger, now } = context;
  const isTaken = async (user: string): Promise<boolean> => (await file?.versionOf(user)) !== '';
  const directory = openLdap({ settings: ldap, rules, logger, now, ...(file !== undefined && { isTaken }) });
  return file === undefined ? [directory] : [file, directory];
}

/** A file of another kind has thousands. `cistern check` names all. */
const maxNamedLines = 20;

async function openHtpasswd(path: string, { logger }: AppContext): Promise<IdentityProvider> {
  const file = new WatchedFile({
    path,
    now: () => performance.now(),
    parse: async text => {
      const { hashes, flaws } = await parseHtpasswd(text);
      for (const flaw of flaws.slice(0, maxNamedLines))
        logger.warn('ignoring a line of htpasswd', { file: path, ...flaw });
      logger.info('htpasswd read', { file: path, users: hashes.size, ignoredLines: flaws.length });
      return { hashes, flaws };
    },
    onTrouble: error => logger.warn('cannot read htpasswd, using its last content', { error }),
  });
  await file.current().catch(() => undefined); // reported; it may be readable at the next login
  return new HtpasswdUsers({ load: () => file.current() });
}

function openKeys(layout: StoreLayout, { config, logger, metrics, now }: AppContext): TokenKeys {
  if (config.fleet !== undefined) return new DerivedTokenKeys({ secret: config.fleet.secret, now });
  return new StoredTokenKeys({
    file: new SecretFile({ layout, path: layout.tokenKeysPath, observer: metrics }),
    onTrouble: error => logger.warn('cannot keep the keys of tokens, they end with this process', { error }),
    now,
  });
}

function logLogin({ source, result, user, address, isNews }: LoginEvent, { logger }: AppContext): void {
  if (!isNews) return;
  const client = address === '' ? undefined : address;
  logger.warn('login failed', { reason: result, source, client, ...(user !== undefined && { user }) });
}
