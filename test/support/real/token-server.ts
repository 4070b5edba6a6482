/**
 * A Docker token server as Hub's: `GET /token?service=…&scope=repository:NAME:pull` answers a JWT that docker-registry
 * accepts (RS256, the certificate in `x5c`). Anonymous callers may pull `library/*`, the one user may pull anything.
 * Keeps the list of what was asked.
 */
import { createSign, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { commandOutput } from './command.ts';

export interface TokenServerOptions {
  /** Holds the signing key and its certificate afterwards. */
  readonly folder: string;
  /** `name:password` */
  readonly user: string;
}

export interface TokenRequest {
  readonly user: string | undefined;
  readonly scopes: readonly string[];
  readonly status: number;
}

interface Grant {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

const issuer = 'token server of the test';
const service = 'registry of the test';

export class TokenServer {
  readonly #user: string;
  readonly #key: string;
  readonly #certificatePath: string;
  readonly #certificateBody: string;
  readonly #server: Server;
  readonly requests: TokenRequest[] = [];

  private constructor(user: string, key: string, certificatePath: string, certificateBody: string) {
    this.#user = user;
    this.#key = key;
    this.#certificatePath = certificatePath;
    this.#certificateBody = certificateBody;
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(options: TokenServerOptions): Promise<TokenServer> {
    const keyPath = join(options.folder, 'token.key');
    const certificatePath = join(options.folder, 'token.crt');
    const files = ['-keyout', keyPath, '-out', certificatePath];
    const subject = ['-days', '2', '-subj', '/CN=token'];
    await commandOutput(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject, ...files]);
    const key = await readFile(keyPath, 'utf8');
    const body = (await readFile(certificatePath, 'utf8')).replace(/-----[^-]+-----|\s/g, ''); // DER in base64, for x5c
    const tokens = new TokenServer(options.user, key, certificatePath, body);
    await new Promise<void>(resolve => tokens.#server.listen(0, '127.0.0.1', resolve));
    return tokens;
  }

  /** The `auth.token` section of a docker-registry that trusts this server. */
  get registryOptions(): object {
    return { realm: this.realm, service, issuer, rootcertbundle: this.#certificatePath };
  }

  get realm(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('expected a listening token server');
    return `http://127.0.0.1:${address.port}/token`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://token');
    const scopes = url.searchParams.getAll('scope').flatMap(text => text.split(' '));
    const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const offered = basic === undefined ? undefined : Buffer.from(basic, 'base64').toString();
    const known = offered === undefined || offered === this.#user;
    const status = url.pathname !== '/token' ? 404 : known ? 200 : 401;
    const user = offered?.split(':')[0];
    this.requests.push({ user, scopes, status });
    response.writeHead(status, { 'content-type': 'application/json' });
    if (status !== 200) return void response.end('{"errors":[{"code":"UNAUTHORIZED","message":"refused"}]}');
    const token = this.#sign(
      user ?? '',
      scopes.flatMap(scope => grant(scope, user !== undefined)),
    );
    response.end(
      JSON.stringify({ token, access_token: token, expires_in: 300, issued_at: new Date().toISOString() }),
    );
  }

  #sign(subject: string, access: readonly Grant[]): string {
    const seconds = Math.floor(Date.now() / 1000);
    const claims = {
      iss: issuer,
      sub: subject,
      aud: service,
      iat: seconds,
      nbf: seconds - 10,
      exp: seconds + 300,
      jti: randomUUID(),
      access,
    };
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ typ: 'JWT', alg: 'RS256', x5c: [this.#certificateBody] })}.${part(claims)}`;
    return `${text}.${createSign('RSA-SHA256').update(text).sign(this.#key, 'base64url')}`;
  }
}

/** What of one scope (`repository:library/busybox:pull`) is given: nothing is no error in this protocol. */
function grant(scope: string, loggedIn: boolean): Grant[] {
  const [type = '', name = '', actions = ''] = scope.split(':');
  if (!loggedIn && !name.startsWith('library/')) return [];
  return [{ type, name, actions: actions.split(',').filter(action => loggedIn || action === 'pull') }];
}
