/**
 * What `export`, `import FILE` and `digests` ask over the admin socket. Long bodies go out and come in as streams; an error within one cuts
 * it, so that no reader takes it for whole.
 */
import type { ServerResponse } from 'node:http';
import type { Router } from '@koa/router';
import type { BundleAdmin } from '../../admin/bundle-admin.ts';
import { Notifier } from '../../lib/wait.ts';
import { parseDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { AppContext, AppState } from '../exchange.ts';
import { readBody } from '../server/request-body.ts';

/** An export at the other end of a pipe may fetch for hours before it writes. */
const idleMs = 24 * 60 * 60_000;
/** Digests are sent in pieces of about this many characters. */
const lineBytes = 32 * 1024;

const countEveryBytes = 1024 * 1024;

/** `report` answers with JSON. */
export function addBundleRoutes(
  router: Router<AppState>,
  bundles: BundleAdmin,
  report: (context: AppContext, body: object) => void,
): void {
  const { content } = bundles;
  router.get('/api/v1/content/manifest', async context => {
    const { bytes, ...found } = await content.manifest(imageOf(context), context.state.exchange.signal);
    report(context, { ...found, bytes: bytes.toString('base64') });
  });
  router.get('/api/v1/content/referrers', async context => {
    report(context, await content.referrers(imageOf(context), context.state.exchange.signal));
  });
  router.get('/api/v1/content/held', async context => {
    const digests = context.URL.searchParams.getAll('digest').map(parseDigest);
    const held = await content.held(digests, context.state.exchange.signal);
    report(context, Object.fromEntries(held));
  });
  router.get('/api/v1/content/blob', async context => {
    const bytes = content.blob(imageOf(context), context.state.exchange.signal);
    await sendStream(context, bytes, 'application/octet-stream');
  });
  router.get('/api/v1/content/fetch', async context => {
    const { signal } = context.state.exchange;
    const counts = countsOf(onBytes => content.fetch(imageOf(context), onBytes, signal));
    await sendStream(context, counts, 'text/plain');
  });
  router.get('/api/v1/digests', async context => {
    await sendStream(context, linesOf(bundles.digests(context.state.exchange.signal)), 'text/plain');
  });
  router.post('/api/v1/import/bundle', async context => {
    const { exchange } = context.state;
    exchange.asked = { wanted: 'admin', reference: 'bundle' };
    const tar = readBody(context.req, context.res, { idleMs, signal: exchange.signal });
    report(context, await bundles.importBundle(tar, exchange.signal));
  });
}

function imageOf(context: AppContext): string {
  const image = context.URL.searchParams.get('image');
  if (image !== null) return image;
  throw new RegistryError('UNSUPPORTED', { status: 400, message: 'the query names no image' });
}

/** How many bytes have come, a line each now and then; the last one is the size. */
async function* countsOf(
  fetch: (onBytes: (bytes: number) => void) => Promise<number>,
): AsyncGenerator<Buffer, void, void> {
  const progress = new Notifier();
  let bytes = 0;
  let isDone = false;
  const fetching = fetch(more => {
    bytes += more;
    progress.ring();
  }).finally(() => {
    isDone = true;
    progress.ring();
  });
  fetching.catch(() => {}); // it is awaited below
  for (let said = 0; !isDone; ) {
    const { changed } = progress.next();
    if (bytes - said >= countEveryBytes) {
      said = bytes;
      yield Buffer.from(`${said}\n`);
    } else await changed;
  }
  yield Buffer.from(`${await fetching}\n`);
}

async function* linesOf(digests: AsyncIterable<string>): AsyncGenerator<Buffer, void, void> {
  let text = '';
  for await (const digest of digests) {
    text += `${digest}\n`;
    if (text.length < lineBytes) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(text);
}

/** An error before the first bytes is an ordinary answer. Errors: those of `bytes`; the connection's. */
async function sendStream(context: AppContext, bytes: AsyncIterable<Buffer>, type: string): Promise<void> {
  const { res } = context;
  for await (const chunk of bytes) {
    if (!res.headersSent) setHead(context, type);
    await write(res, chunk);
  }
  if (!res.headersSent) setHead(context, type);
  res.end();
}

function setHead(context: AppContext, type: string): void {
  context.respond = false;
  context.res.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' });
}

function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) return reject(new Error('the connection is closed'));
    response.write(chunk, error => (error ? reject(error) : resolve()));
  });
}
