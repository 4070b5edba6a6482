/** A receiver of traces: OTLP as JSON over HTTP. It keeps the spans, and can be silent or refuse. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** 2: server, 3: client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly isError: boolean;
}

export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  /** `METHOD PATH`, of each request. */
  readonly requests: string[] = [];
  /** Of the process that sent them. */
  resource: Readonly<Record<string, string | number>> = {};
  /** `silent`: no answer comes. */
  mode: 'take' | 'silent' | 503 = 'take';
  readonly #server: Server;

  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>(resolve => receiver.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => receiver.close());
    return receiver;
  }

  private constructor() {
    this.#server = createServer(async (request, response) => {
      this.requests.push(`${request.method} ${request.url}`);
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      if (this.mode === 'silent') return;
      if (this.mode === 'take') this.#take(JSON.parse(Buffer.concat(chunks).toString('utf8')));
      response.writeHead(this.mode === 'take' ? 200 : this.mode, { 'Content-Type': 'application/json' });
      response.end('{}');
    });
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #take(body: OtlpBody): void {
    for (const { resource, scopeSpans } of body.resourceSpans) {
      this.resource = attributesOf(resource.attributes);
      for (const { spans } of scopeSpans)
        for (const { attributes, status, parentSpanId = '', ...span } of spans)
          this.spans.push({
            ...span,
            parentSpanId,
            attributes: attributesOf(attributes),
            isError: status?.code === 2,
          });
    }
  }
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
}

interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly traceId: string;
        readonly spanId: string;
        readonly parentSpanId?: string;
        readonly name: string;
        readonly kind: number;
        readonly attributes: readonly OtlpAttribute[];
        readonly status?: { readonly code?: number };
      }[];
    }[];
  }[];
}

function attributesOf(list: readonly OtlpAttribute[]): Record<string, string | number> {
  return Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? '']));
}
