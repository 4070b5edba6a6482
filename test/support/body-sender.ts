/**
 * Sends an answer with a fault laid over it. Every chunk is awaited until the kernel has taken it, so that "n bytes, then
 * …" means exactly n, and the request log counts what has left (see request-log.ts).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Body, bodyOf } from './body-alteration.ts';
import type { FakeHost } from './fake-host.ts';
import type { Fault } from './faults.ts';
import type { OpenEntry, RequestLog } from './request-log.ts';
import { untilDelivered } from './tcp-delivery.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

const chunkBytes = 64 * 1024;

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly host: FakeHost;
  readonly entry: OpenEntry;
  readonly log: RequestLog;
  /** No Content-Length anywhere: chunked bodies. */
  readonly chunked: boolean;
}

export async function sendAnswer(
  exchange: Exchange,
  answer: UpstreamAnswer,
  fault: Fault = {},
): Promise<void> {
  const { request, response, entry, log } = exchange;
  const body = bodyOf(answer, fault);
  for (const [name, value] of [...Object.entries(answer.headers), ...Object.entries(fault.headers ?? {})]) {
    if (value === undefined) response.removeHeader(name);
    else response.setHeader(name, value);
  }
  const lengthGiven = Object.keys(fault.headers ?? {}).some(name => name.toLowerCase() === 'content-length');
  if (!exchange.chunked && !lengthGiven)
    response.setHeader('Content-Length', fault.declaredLength ?? body.size);
  response.statusCode = answer.status;
  entry.status = answer.status;
  log.changed();
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  response.flushHeaders();
  await sendBody(exchange, body, fault);
}

/** Ends the connection before or in the middle of an answer. */
export async function breakOff({ response, host }: Exchange, by: Fault['cutBy']): Promise<void> {
  const { socket } = response;
  if (socket === null) return;
  if (by !== 'reset') {
    socket.end();
    return;
  }
  const transport = host.transportOf(socket);
  await untilDelivered(transport);
  transport.resetAndDestroy();
}

async function sendBody(exchange: Exchange, body: Body, fault: Fault): Promise<void> {
  const { response } = exchange;
  const stops = [fault.stallAfter, fault.cutAfter, body.size].filter(stop => stop !== undefined);
  const stepBytes = fault.dripBytes ?? chunkBytes;
  let at = 0;
  let stalled = false;
  while (!response.destroyed) {
    if (at === fault.stallAfter && !stalled) {
      stalled = true;
      await stallAt(exchange, fault);
      continue;
    }
    if (at === fault.cutAfter) return breakOff(exchange, fault.cutBy);
    if (at >= body.size) break;
    const next = Math.min(at + stepBytes, ...stops.filter(stop => stop > at));
    await writeCounted(exchange, body.slice(at, next));
    at = next;
    if (fault.dripEveryMs !== undefined) await new Promise(resolve => setTimeout(resolve, fault.dripEveryMs));
  }
  // A promise of more than there was cannot be kept: the connection has to end.
  if (fault.declaredLength !== undefined && fault.declaredLength !== body.size)
    return breakOff(exchange, 'fin');
  if (!response.destroyed) response.end();
}

async function stallAt({ response, host }: Exchange, { stallGate }: Fault): Promise<void> {
  const { socket } = response;
  if (socket === null) return;
  await (stallGate === undefined
    ? host.closed(socket)
    : Promise.race([stallGate.pass(), host.closed(socket)]));
}

async function writeCounted({ response, host, entry, log }: Exchange, chunk: Buffer): Promise<void> {
  const { socket } = response;
  if (socket === null) return;
  await host.untilThawed(socket);
  if (socket.destroyed) return;
  const taken = new Promise<boolean>(resolve => {
    // Node also calls back, without an error, for a write that the end of the connection has cancelled.
    response.write(chunk, error => resolve((error === undefined || error === null) && !socket.destroyed));
  });
  if (await Promise.race([taken, host.closed(socket).then(() => false)])) {
    entry.bodyBytesSent += chunk.length;
    log.changed();
  }
}
