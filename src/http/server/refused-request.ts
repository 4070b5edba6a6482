/**
 * Bytes that Node's parser refuses are answered on the bare socket: with the same JSON as other errors, and a close. A TLS
 * hello on the plain port (podman tries one first) gets a bare 400, which such clients take for "speaks no TLS".
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { RegistryError } from '../../oci/error.ts';
import { closeWithFin } from './connections.ts';

/** Node's `clientError`, as far as it is used. */
export interface ParserError extends Error {
  readonly code?: string;
  readonly rawPacket?: Buffer;
}

/** First byte of a TLS handshake record. */
const tlsHandshake = 0x16;

/** The status; undefined when the connection was gone. */
export function answerParserError(error: ParserError, socket: Socket): number | undefined {
  const isAnswerable = error.code?.startsWith('HPE_') === true || error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  if (!socket.writable || !isAnswerable) {
    socket.destroy();
    return undefined;
  }
  const refusal = error.rawPacket?.[0] === tlsHandshake ? undefined : refusalOf(error);
  const status = refusal?.status ?? 400;
  socket.write(formatResponse(status, refusal));
  closeWithFin(socket);
  return status;
}

function refusalOf({ code }: ParserError): RegistryError {
  const [status, message]: [number, string] =
    code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'the request line or the headers are too long']
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'the request did not arrive in time']
        : [400, 'this is not an HTTP/1.1 request'];
  return new RegistryError('UNSUPPORTED', { status, message });
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
