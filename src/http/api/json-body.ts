/** The small JSON body of a request: never more than 64 KiB of it are kept. */
import type { IncomingMessage } from 'node:http';
import { RegistryError } from '../../oci/error.ts';

const maxBytes = 64 * 1024;

/** Errors: SIZE_INVALID; UNSUPPORTED (400) for what is no JSON object. */
export async function readJsonBody(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  let text = '';
  let length = 0;
  for await (const chunk of request.setEncoding('utf8')) {
    length += String(chunk).length;
    if (length <= maxBytes) text += String(chunk); // read to its end all the same, so that the answer gets there
  }
  if (length > maxBytes)
    throw new RegistryError('SIZE_INVALID', { message: `expected at most ${maxBytes} bytes, got more` });
  const body = parse(text);
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new RegistryError('UNSUPPORTED', { status: 400, message: 'expected a JSON object, got none' });
  return { ...body };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // refused by the caller, with a sentence
  }
}
