/**
 * What one push sends as `Authorization`: nothing until the registry asks, then the user's name and password (Basic), or a token
 * that its token server gave for them. A token that has expired in a long push is replaced.
 */
import { type Challenge, parseChallenges } from '../../oci/challenge.ts';
import type { Repository } from '../../oci/name.ts';
import { PushError, refused } from './push-error.ts';
import { type PushAnswer, type PushRequest, type Send, stringIn } from './push-transport.ts';

export interface UserPassword {
  readonly username: string;
  readonly password: string;
}

export interface PushLoginOptions {
  readonly registry: URL;
  readonly repository: Repository;
  /** Undefined: anonymous. */
  readonly user: UserPassword | undefined;
  readonly send: Send;
}

export class PushLogin {
  readonly #options: PushLoginOptions;
  #header: string | undefined;
  #renewal: Promise<string> | undefined;

  constructor(options: PushLoginOptions) {
    this.#options = options;
  }

  /** Sends it, and after a 401 again with what the registry asks for. It goes to no other host. Errors: `PushError`. */
  async send(request: PushRequest): Promise<PushAnswer> {
    if (request.url.origin !== this.#options.registry.origin) return this.#options.send(request);
    const used = this.#header;
    const answer = await this.#sendWith(request, used);
    if (answer.status !== 401) return answer;
    const renewed = await this.#renew(answer, used, request.signal);
    return renewed === used ? answer : this.#sendWith(request, renewed);
  }

  #sendWith(request: PushRequest, header: string | undefined): Promise<PushAnswer> {
    const authorization = header === undefined ? {} : { authorization: header };
    return this.#options.send({ ...request, headers: { ...request.headers, ...authorization } });
  }

  /** Uploads of one push run side by side: the first refusal renews it for all. */
  async #renew(
    answer: PushAnswer,
    used: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    if (this.#header !== used) return this.#header;
    this.#renewal ??= this.#obtain(answer, signal).finally(() => {
      this.#renewal = undefined;
    });
    this.#header = await this.#renewal;
    return this.#header;
  }

  async #obtain(answer: PushAnswer, signal: AbortSignal): Promise<string> {
    const { registry, user } = this.#options;
    const challenges = parseChallenges(answer.headers['www-authenticate']);
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    );
    if (bearer !== undefined) return `Bearer ${await this.#askForToken(bearer, signal)}`;
    if (!challenges.some(({ scheme }) => scheme === 'basic'))
      throw refused(registry.host, 'the push, without saying how to log in', answer);
    if (user === undefined) throw loginMissing(registry.host);
    return formatBasic(user);
  }

  async #askForToken({ parameters }: Challenge, signal: AbortSignal): Promise<string> {
    const { registry, repository, user, send } = this.#options;
    const realm = realmOf(parameters.get('realm') ?? '', registry);
    const service = parameters.get('service');
    if (service !== undefined) realm.searchParams.set('service', service);
    const needed = `repository:${repository}:pull,push`;
    for (const scope of new Set([needed, ...(parameters.get('scope') ?? '').split(' ')]))
      if (scope !== '' && (scope === needed || !isSameRepository(scope, repository)))
        realm.searchParams.append('scope', scope);
    const headers = user === undefined ? {} : { authorization: formatBasic(user) };
    const answer = await send({ method: 'GET', url: realm, headers, signal });
    if (answer.status === 401 || answer.status === 403) {
      if (user === undefined) throw loginMissing(registry.host);
      throw new PushError(`${realm.host}: wrong user name or password`, 'UNAUTHORIZED', {
        status: answer.status,
      });
    }
    if (answer.status !== 200) throw refused(realm.host, 'a token', answer);
    const token = stringIn(answer.body, 'token') ?? stringIn(answer.body, 'access_token');
    if (token !== undefined && /^[\x21-\x7e]+$/.test(token)) return token;
    throw new PushError(`${realm.host} answered without a token`, 'FAILED', { isPassing: false });
  }
}

/** The password goes there: encrypted, unless the registry itself isn't. Errors: `PushError`. */
function realmOf(text: string, registry: URL): URL {
  const realm = URL.canParse(text) ? new URL(text) : undefined;
  const isSafe =
    realm?.protocol === 'https:' || (realm?.protocol === 'http:' && registry.protocol === 'http:');
  if (realm !== undefined && isSafe) return realm;
  throw new PushError(
    `${registry.host} names a token server that is not asked: ${text.slice(0, 160)}`,
    'FAILED',
    {
      isPassing: false,
    },
  );
}

function isSameRepository(scope: string, repository: Repository): boolean {
  return scope.startsWith(`repository:${repository}:`);
}

function loginMissing(host: string): PushError {
  return new PushError(`${host} wants a login: give --username and --password-stdin`, 'UNAUTHORIZED', {
    status: 401,
  });
}

function formatBasic({ username, password }: UserPassword): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
