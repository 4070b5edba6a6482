/**
 * A server that speaks HTTP/1.1 over TLS and answers plain HTTP with a 400 in text. The first byte of a connection tells
 * which one it is. A connection that has not finished its handshake within 10 s is closed.
 */
import type { Server, ServerOptions } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Logger } from '../../telemetry/logger.ts';
import { type Connections, closeWithFin } from './connections.ts';
import type { TlsContexts } from './tls-contexts.ts';

export interface TlsOptions {
  readonly contexts: TlsContexts;
  /** `none`: clients aren't asked for certificates. A certificate that isn't signed by `clientCa` always ends the handshake. */
  readonly clientCertificates: 'none' | 'optional' | 'required';
}

export interface TlsServerOptions {
  readonly http: ServerOptions;
  readonly tls: TlsOptions;
  readonly connections: Connections;
  readonly logger: Logger;
  /** Called once the client is known: the CN of its certificate. */
  onClient(socket: Socket, user: string | undefined): void;
  /** Plain HTTP was refused with this status. */
  onRefused(status: number): void;
}

const handshakeMs = 10_000;
/** First byte of a TLS handshake record. */
const tlsHandshake = 0x16;

/** Not listening yet. Requests go to `connections`. */
export function createTlsServer(options: TlsServerOptions): Server {
  const { http, connections, logger } = options;
  const { contexts, clientCertificates } = options.tls;
  const server = createServer({
    ...http,
    ...contexts.main,
    ALPNProtocols: ['http/1.1'], // HTTP/2 in Node costs a quarter more CPU per byte
    handshakeTimeout: handshakeMs,
    requestCert: clientCertificates !== 'none',
    rejectUnauthorized: clientCertificates === 'required',
    SNICallback: (host, done) => done(null, contexts.find(host)),
  });
  contexts.keep(server);
  const shakeHands = server.listeners('connection');
  server.removeAllListeners('connection');
  const waiting = new Map<string, Socket>();
  server.on('connection', (raw: Socket) => {
    if (!connections.accept(raw)) return;
    const key = ends(raw);
    waiting.set(key, raw);
    raw.once('close', () => {
      if (waiting.get(key) === raw) waiting.delete(key);
    });
    readFirstByte(raw, byte => {
      if (byte === tlsHandshake) {
        for (const listener of shakeHands) Reflect.apply(listener, server, [raw]);
        return;
      }
      refusePlain(raw);
      options.onRefused(400);
    });
  });
  server.prependListener('secureConnection', (socket: TLSSocket) => {
    const key = ends(socket);
    const raw = waiting.get(key);
    waiting.delete(key);
    if (raw !== undefined) connections.replace(raw, socket);
    // `optional` lets the handshake pass, so that a client without a certificate gets in; a wrong one is as bad as ever.
    if (clientCertificates === 'optional' && !socket.authorized && showsCertificate(socket)) {
      logger.info('refusing a client certificate', { reason: String(socket.authorizationError) });
      socket.destroy();
      return;
    }
    options.onClient(socket, clientCertificates === 'none' ? undefined : certificateUser(socket));
  });
  return server;
}

/** The ends of a TCP connection name it as long as it is open, whichever of its two sockets is asked. */
function ends({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return [localAddress, localPort, remoteAddress, remotePort].join(' ');
}

/** The byte stays in the stream. Nothing is called for a connection that closes first. */
function readFirstByte(socket: Socket, found: (byte: number) => void): void {
  const timer = setTimeout(() => socket.destroy(), handshakeMs);
  const stop = () => clearTimeout(timer);
  const ignore = () => undefined; // a connection that breaks closes, and that is all there is to know
  socket.on('error', ignore);
  socket.once('close', stop);
  socket.once('end', () => socket.destroy());
  const look = () => {
    const chunk: Buffer | null = socket.read();
    const byte = chunk?.[0];
    if (chunk === null || byte === undefined) return; // woken for the end
    stop();
    socket.off('readable', look).off('close', stop);
    socket.unshift(chunk);
    found(byte);
  };
  socket.on('readable', look);
}

function refusePlain(socket: Socket): void {
  const text = 'This port speaks HTTPS. Use https:// instead of http://.\n';
  const head = [
    'HTTP/1.1 400 Bad Request',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(text)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${text}`);
  socket.resume(); // unread bytes would turn the close into a reset
  closeWithFin(socket);
}

function showsCertificate(socket: TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0;
}

/** A name that a rule can name: neither a group nor one of the two words for many users. */
const userPattern = /^(?!@|\*$|anonymous$)[^:\s\p{Cc}]{1,255}$/u;

/** Undefined: no certificate, or its subject has no single CN that can be a user. */
function certificateUser(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  const name: unknown = Object(socket.getPeerCertificate().subject).CN; // a list where there are several
  return typeof name === 'string' && userPattern.test(name) ? name : undefined;
}
