/**
 * The answer to a command that takes long. A client that accepts lines of JSON hears meanwhile how far it is: lines `{"progress":…}`, and
 * at last one `{"answer":{"status":…,"body":…}}`. Any other client gets the answer as one document at the end.
 */
import { RegistryError } from '../../oci/error.ts';
import type { OnProgress } from '../../telemetry/progress.ts';
import type { AppContext } from '../exchange.ts';

const lineType = 'application/x-ndjson';
/** Between two lines: an eye needs no more, and the work no more writing. */
const everyMs = 200;

/** Errors: those of `work`. After the first line the client has been told, and only log and audit hear of them. */
export async function answerLong(
  context: AppContext,
  work: (onProgress: OnProgress | undefined) => Promise<object>,
): Promise<void> {
  if (!context.headers.accept?.includes(lineType)) {
    answerJson(context, await work(undefined));
    return;
  }
  const { res } = context;
  let writtenMs = Number.NEGATIVE_INFINITY;
  const done = work(progress => {
    const nowMs = performance.now();
    if (nowMs - writtenMs < everyMs || res.writableNeedDrain || res.destroyed) return;
    if (!res.headersSent) begin(context);
    writtenMs = nowMs;
    res.write(`${JSON.stringify({ progress })}\n`);
  });
  try {
    const report = await done;
    if (res.headersSent) end(context, 200, report);
    else answerJson(context, report);
  } catch (error) {
    const { status, code, message } =
      error instanceof RegistryError ? error : new RegistryError('UNKNOWN', { cause: error });
    if (res.headersSent) end(context, status, { errors: [{ code, message }] });
    throw error;
  }
}

export function answerJson(context: AppContext, report: object): void {
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  context.body = JSON.stringify(report);
}

/** Past Koa, which would begin to write when all is done. */
function begin(context: AppContext): void {
  context.respond = false;
  context.res.writeHead(200, { 'Content-Type': lineType, 'Cache-Control': 'no-store' });
}

function end({ res }: AppContext, status: number, body: object): void {
  res.end(`${JSON.stringify({ answer: { status, body } })}\n`);
}
