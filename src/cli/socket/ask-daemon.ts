/**
 * One request to a daemon over its admin socket. With `onProgress` the daemon tells how far it is while it works: lines of JSON, the last
 * one of which is the answer.
 */
import { type IncomingMessage, request } from 'node:http';
import type { OnProgress } from '../../telemetry/progress.ts';

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

export interface Question {
  readonly body?: object | undefined;
  readonly timeoutMs?: number;
  readonly stop?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A daemon that knows nothing of it answers as ever, with one document. */
export const progressType = 'application/x-ndjson';

/** Errors: those of the socket; the signal's. */
export function askDaemon(
  socketPath: string,
  method: string,
  path: string,
  { body, timeoutMs, stop, onProgress }: Question = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      ...(payload !== undefined && { 'Content-Type': 'application/json' }),
      ...(onProgress !== undefined && { Accept: progressType }),
    };
    const limit = timeoutMs === undefined ? stop : AbortSignal.timeout(timeoutMs);
    const signal = limit === undefined ? {} : { signal: limit };
    const asked = request({ socketPath, method, path, headers, agent: false, ...signal }, response => {
      const isStream = response.headers['content-type'] === progressType;
      const reading =
        isStream && onProgress !== undefined ? readLines(response, onProgress) : readWhole(response);
      reading.then(resolve, reject);
    });
    asked.on('error', reject);
    asked.end(payload);
  });
}

async function readWhole(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) };
}

/** Errors: one for an answer without a last line: the daemon has ended meanwhile. */
async function readLines(response: IncomingMessage, onProgress: OnProgress): Promise<Answer> {
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const { progress, answer } = JSON.parse(line);
      if (answer !== undefined)
        return { status: Number(answer.status), body: Buffer.from(JSON.stringify(answer.body)) };
      onProgress(progress);
    }
  }
  throw Object.assign(new Error('the daemon has ended before the answer was complete'), {
    code: 'ECONNRESET',
  });
}
