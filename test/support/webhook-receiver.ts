/**
 * A target of notifications on a real port: it checks the signature of each body by itself, and takes, refuses or ignores it.
 * `takeDown` refuses connections; `putUp` listens at the same port again. Closed with the test.
 */
import { createHmac } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { onTestFinished } from 'vitest';

export interface ReceivedEvent {
  readonly id: string;
  readonly action: string;
  readonly target: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

export class WebhookReceiver {
  readonly secret = 'a secret of the receiver';
  /** What it answers; `silence`: nothing, and the connection stays. */
  answer: number | 'silence' = 200;
  /** Events that it took, in order. */
  readonly taken: ReceivedEvent[] = [];
  /** `status action tag`, or `silence …`, of every request. */
  readonly requests: string[] = [];
  readonly headers: Readonly<Record<string, unknown>>[] = [];
  /** Requests whose signature was not right. */
  wrongSignatures = 0;
  #server: Server | undefined;
  #port = 0;
  readonly #held = new Set<ServerResponse>();

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver();
    await receiver.putUp();
    onTestFinished(() => receiver.takeDown());
    return receiver;
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.#port}/hook?key=k`);
  }

  /** Tags, or digests where an event has none, of what it took. */
  get tags(): unknown[] {
    return this.taken.map(({ target }) => target['tag'] ?? target['digest']);
  }

  async putUp(): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => this.#receive(Buffer.concat(chunks), request.headers, response));
    });
    await new Promise<void>(resolve => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async takeDown(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise(resolve => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async untilRequests(count: number): Promise<void> {
    while (this.requests.length < count) await turn();
  }

  async untilTaken(count: number): Promise<void> {
    while (this.taken.length < count) await turn();
  }

  #receive(body: Buffer, headers: Readonly<Record<string, unknown>>, response: ServerResponse): void {
    this.headers.push(headers);
    const right = `sha256=${createHmac('sha256', this.secret).update(body).digest('hex')}`;
    if (headers['x-cistern-signature'] !== right) this.wrongSignatures += 1;
    const { events }: { events: ReceivedEvent[] } = JSON.parse(body.toString());
    for (const { action, target } of events)
      this.requests.push(`${this.answer} ${action} ${String(target['tag'] ?? target['digest'])}`);
    if (this.answer === 'silence') {
      this.#held.add(response);
      return;
    }
    if (this.answer >= 200 && this.answer <= 299) this.taken.push(...events);
    response.writeHead(this.answer, { 'Content-Length': 0, Location: 'http://127.0.0.1:1/' }).end();
  }
}
