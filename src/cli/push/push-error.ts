/** What went wrong between `cistern push` and a registry, in one sentence, and whether it may pass by itself. */
import { parseErrorBody } from '../../oci/error.ts';

export interface PushErrorOptions {
  /** Of the answer; undefined: there was none. */
  readonly status?: number;
  /** A later try may do better. Default: there was no answer, or its status says so. */
  readonly isPassing?: boolean;
  /** The registry asked for that long without requests. */
  readonly retryAfterMs?: number;
}

/** RFC 9110 15.5 and 15.6: those that say "later" or "the way here is broken". */
function passes(status: number | undefined): boolean {
  return status === undefined || status >= 500 || [408, 425, 429].includes(status);
}

export class PushError extends Error {
  /** The registry's own code, or FAILED. */
  readonly code: string;
  readonly status: number | undefined;
  readonly isPassing: boolean;
  readonly retryAfterMs: number;

  constructor(message: string, code = 'FAILED', options: PushErrorOptions = {}) {
    super(message);
    this.name = 'PushError';
    this.code = code;
    this.status = options.status;
    this.isPassing = options.isPassing ?? passes(options.status);
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

export interface RefusedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** That a registry can ask for. */
const longestAskedSeconds = 300;
const longestPauseMs = 15_000;

/** How long to wait after so many failures in a row, and no shorter than the registry asked. */
export function pauseAfter({ retryAfterMs }: PushError, failures: number): number {
  return Math.max(retryAfterMs, Math.min(longestPauseMs, 500 * 2 ** failures));
}

/** `what`: what was asked, for the message: `the upload of sha256:…`. */
export function refused(host: string, what: string, { status, headers, body }: RefusedAnswer): PushError {
  const said = parseErrorBody(body);
  const words = said === undefined ? '' : `: ${said.message === '' ? said.code : said.message}`;
  const seconds = Number(headers['retry-after']);
  return new PushError(`${host} refused ${what} (${status}${words})`, said?.code ?? 'FAILED', {
    status,
    ...(seconds > 0 && { retryAfterMs: Math.min(seconds, longestAskedSeconds) * 1000 }),
  });
}
