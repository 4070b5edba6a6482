/**
 * What a connection says of its client, before any request: whether its listener takes logins, and the user whom a client
 * certificate names. Known from the handshake on, for all requests of the connection.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

export interface ConnectionIdentity {
  /** False: the listener has `login: off`, so every caller is anonymous. */
  readonly takesLogins: boolean;
  /** The CN of a certificate that `client_ca` signed. Undefined: the client showed none. */
  readonly user: string | undefined;
}

const plain: ConnectionIdentity = { takesLogins: true, user: undefined };

export class ConnectionIdentities {
  readonly #bySocket = new WeakMap<Socket, ConnectionIdentity>();

  note(socket: Socket, identity: ConnectionIdentity): void {
    this.#bySocket.set(socket, identity);
  }

  of({ socket }: Pick<IncomingMessage, 'socket'>): ConnectionIdentity {
    return this.#bySocket.get(socket) ?? plain;
  }
}

/** A name that a rule can name: neither a group nor one of the two words for many users. */
const userPattern = /^(?!@|\*$|anonymous$)[^:\s\p{Cc}]{1,255}$/u;

/** Undefined: no certificate, or its subject has no single CN that can be a user. */
export function certificateUser(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  const name: unknown = Object(socket.getPeerCertificate().subject).CN; // a list where there are several
  return typeof name === 'string' && userPattern.test(name) ? name : undefined;
}
