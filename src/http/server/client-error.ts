/**
 * What node's parser refuses before there is a request: answered on the bare socket, with the same JSON as other errors
 * where an HTTP client can be assumed. Too long a request line or header is 431. A TLS hello on the plain port (podman
 * tries one first) gets a bare 400, which such clients take for "speaks no TLS".
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { RegistryError } from '../../oci/error.ts';
import { closeWithFin } from './half-close.ts';

/** Node's `clientError`, as far as it is used. */
export interface ParserError extends Error {
  readonly code?: string;
  readonly rawPacket?: Buffer;
}

/** First byte of a TLS handshake record. */
const tlsHandshake = 0x16;

/** Answers and closes. Returns the status that was sent; undefined when there was nobody to answer. */
export function answerClientError(error: ParserError, socket: Socket): number | undefined {
  if (!socket.writable || !isParserError(error)) {
    socket.destroy();
    return undefined;
  }
  const refusal = error.rawPacket?.[0] === tlsHandshake ? undefined : refusalOf(error);
  const status = refusal?.status ?? 400;
  socket.write(formatResponse(status, refusal));
  closeWithFin(socket);
  return status;
}

function isParserError(error: ParserError): boolean {
  return error.code?.startsWith('HPE_') === true || error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
}

function refusalOf(error: ParserError): RegistryError {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new RegistryError('UNSUPPORTED', {
        status: 431,
        message: 'the request line or the headers are too long',
      });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new RegistryError('UNSUPPORTED', { status: 408, message: 'the request did not arrive in time' });
    default:
      return new RegistryError('UNSUPPORTED', { status: 400, message: 'expected an HTTP/1.1 request' });
  }
}

function formatResponse(status: number, refusal: RegistryError | undefined): string {
  const body = refusal === undefined ? '' : JSON.stringify(refusal);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Docker-Distribution-API-Version: registry/2.0',
    ...(body === '' ? [] : ['Content-Type: application/json', 'Cache-Control: no-store']),
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
