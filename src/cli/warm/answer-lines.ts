/** An answer of the daemon that comes line by line while a command runs. Leaving the loop, or the signal, ends the command. */
import { type IncomingMessage, request } from 'node:http';
import { parseErrorBody } from '../../oci/error.ts';
import { CommandError } from '../command-line.ts';

const maxErrorBytes = 64 * 1024;

/** A line isn't checked: its fields don't change within `v1`. Errors: `CommandError`; system errors; the signal's. */
export async function* readAnswerLines<Line>(
  socketPath: string,
  path: string,
  body: object,
  signal: AbortSignal,
): AsyncGenerator<Line, void, void> {
  const response = await post(socketPath, path, JSON.stringify(body), signal);
  if (response.statusCode !== 200) throw explainRefusal(await readAll(response));
  response.setEncoding('utf8');
  let rest = '';
  for await (const text of response) {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line);
  }
}

/** Of an answer that isn't 200. */
export function explainRefusal(body: Buffer): CommandError {
  const error = parseErrorBody(body);
  if (error !== undefined) return new CommandError(error.message, error.code);
  return new CommandError(
    'the process that has the store takes no commands now: it is starting or stopping, or it is a command itself',
  );
}

function post(
  socketPath: string,
  path: string,
  payload: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json' };
    const asked = request({ socketPath, method: 'POST', path, headers, agent: false, signal }, resolve);
    asked.on('error', reject);
    asked.end(payload);
  });
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxErrorBytes) break;
  }
  return Buffer.concat(chunks);
}
