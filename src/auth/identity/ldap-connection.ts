/**
 * One connection to an LDAP server, by ldapts. It is opened once and never again by itself: what was encrypted and bound does not come
 * back as plain and anonymous. Referrals are not followed. ldapts is loaded with the first connection.
 */
import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Client } from 'ldapts';
import { waitFor } from '../../lib/wait.ts';

export interface LdapServer {
  /** `ldap:` or `ldaps:`. */
  readonly url: URL;
  readonly startTls: boolean;
  /** PEM text, instead of the authorities that Node trusts. */
  readonly ca?: string;
}

export interface LdapEntry {
  readonly dn: string;
  /** By the attribute's name in small letters. */
  readonly values: ReadonlyMap<string, readonly string[]>;
}

export interface LdapSearch {
  readonly base: string;
  readonly scope: 'base' | 'sub';
  /** RFC 4515. */
  readonly filter: string;
  readonly attributes: readonly string[];
  /** Absent: as many as the server gives. */
  readonly maxEntries?: number;
}

const startTlsOid = '1.3.6.1.4.1.1466.20037';
/** For the server: by then this side has given up. */
const timeLimitSeconds = 3;
/**
 * noSuchObject, invalidDNSyntax, inappropriateAuthentication, invalidCredentials, insufficientAccessRights, unwillingToPerform and
 * constraintViolation (a locked account): the server has answered, and the answer is no.
 */
const refusals: ReadonlySet<number> = new Set([19, 32, 34, 48, 49, 50, 53]);

export class LdapConnection {
  readonly #client: Client;
  readonly #socket: Socket;
  #boundAs: string | undefined = '';

  private constructor(client: Client, socket: Socket) {
    this.#client = client;
    this.#socket = socket;
  }

  /** Errors: those of TCP and TLS, StartTLS refused, or the signal's reason. */
  static async open({ url, startTls, ca }: LdapServer, signal: AbortSignal): Promise<LdapConnection> {
    const { Client: LdapClient } = await import('ldapts');
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const isSecure = url.protocol === 'ldaps:';
    const port = Number(url.port || (isSecure ? 636 : 389));
    const secure = {
      host, // what the certificate is compared with, also over a socket that is there already
      minVersion: 'TLSv1.2' as const,
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca }),
    };
    const over = (socket: Socket): Client => {
      let isTaken = false;
      const createConnection = (): Socket => {
        if (isTaken) throw new Error('the connection to the LDAP server is closed');
        isTaken = true;
        return socket;
      };
      return new LdapClient({ url: `ldap://${url.host}`, createConnection });
    };
    let socket: Socket = isSecure ? connectTls({ ...secure, port }) : connectTcp({ port, host });
    try {
      await ready(socket, isSecure ? 'secureConnect' : 'connect', signal);
      if (startTls && !isSecure) {
        await waitFor(over(socket).exop(startTlsOid), signal);
        const plain = socket;
        plain.removeAllListeners();
        plain.on('error', () => {}); // the TLS socket over it reports it
        socket = connectTls({ ...secure, socket: plain });
        await ready(socket, 'secureConnect', signal);
      }
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return new LdapConnection(over(socket), socket);
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.readyState === 'open';
  }

  /** The name of the last right bind; `''`: anonymous; undefined: a bind has failed. */
  get boundAs(): string | undefined {
    return this.#boundAs;
  }

  /** False: the server refuses it. Errors: any other answer, or none; a RangeError for a name without its password. */
  async bind(dn: string, password: string, signal: AbortSignal): Promise<boolean> {
    if (dn !== '' && password === '') throw new RangeError('a bind without a password would succeed');
    this.#boundAs = undefined;
    try {
      await waitFor(this.#client.bind(dn, password), signal);
    } catch (error) {
      if (refusals.has(codeOf(error))) return false;
      throw error;
    }
    this.#boundAs = dn;
    return true;
  }

  /** One more than `maxEntries` is never asked for. Errors: any answer but success, or none. */
  async search(
    { base, scope, filter, attributes, maxEntries = 0 }: LdapSearch,
    signal: AbortSignal,
  ): Promise<readonly LdapEntry[]> {
    const options = {
      scope,
      filter,
      attributes: [...attributes],
      sizeLimit: maxEntries,
      timeLimit: timeLimitSeconds,
    };
    const { searchEntries } = await waitFor(this.#client.search(base, options), signal);
    return searchEntries.map(({ dn, ...fields }) => ({
      dn,
      values: new Map(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), textsOf(value)])),
    }));
  }

  /** An idle one keeps no process alive. */
  setIdle(isIdle: boolean): void {
    if (isIdle) this.#socket.unref();
    else this.#socket.ref();
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** The code of an answer; NaN: the error is none. */
export function codeOf(error: unknown): number {
  return error instanceof Error && 'code' in error && typeof error.code === 'number'
    ? error.code
    : Number.NaN;
}

async function ready(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  socket.on('error', () => {}); // also between the connection and its first use
  await once(socket, event, { signal });
}

function textsOf(value: string | Buffer | readonly (string | Buffer)[]): readonly string[] {
  return (typeof value === 'string' || Buffer.isBuffer(value) ? [value] : value).map(item => item.toString());
}
