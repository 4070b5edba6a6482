/**
 * `/api/v1/` over the admin socket: the daemon's side of the command line. Only the daemon's own user and root can open the
 * socket, so there is no login here, and none of this is ever on a TCP port.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { Router } from '@koa/router';
import Koa from 'koa';
import type { Admin } from '../../admin/admin.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { RegistryEventListener } from '../../telemetry/registry-events.ts';
import { answerErrors } from '../errors.ts';
import { reportCommands } from '../events.ts';
import { type AppContext, type AppState, Exchange } from '../exchange.ts';
import { type BodyLimits, readWholeBody } from '../server/request-body.ts';
import { addBundleRoutes } from './bundle-routes.ts';
import { answerJson, answerLong } from './long-answer.ts';

const commands = ['refresh', 'evict', 'pin', 'unpin'] as const;

const bodyLimits: BodyLimits = {
  max: {
    bytes: 64 * 1024,
    error: () => new RegistryError('SIZE_INVALID', { message: 'the request body is larger than 64 KiB' }),
  },
  idleMs: 60_000,
};

/** Some ten thousand images. */
const warmLimits: BodyLimits = {
  max: {
    bytes: 1024 * 1024,
    error: () => new RegistryError('SIZE_INVALID', { message: 'the list of images is larger than 1 MiB' }),
  },
  idleMs: 60_000,
};

export function createAdminApp({
  admin,
  logger,
  events,
}: {
  readonly admin: Admin;
  readonly logger: Logger;
  /** Hears of every command that changes something; absent: none wants to. */
  readonly events?: RegistryEventListener | undefined;
}): RequestListener {
  const app = new Koa<AppState>();
  app.on('error', (error: unknown) => logger.debug('connection error', { error }));
  app.use((context, next) => {
    context.state.exchange = new Exchange(context.res);
    return next();
  });
  app.use(answerErrors(logger));
  if (events !== undefined) app.use(reportCommands(events));
  const router = new Router<AppState>();
  router.get('/api/v1/stats', async context => {
    const { searchParams } = context.URL;
    const wanted = { clients: searchParams.has('clients'), next: searchParams.has('next') };
    answerJson(context, await admin.stats(wanted));
  });
  router.get('/api/v1/images', async context => {
    const pattern = context.URL.searchParams.get('pattern') ?? undefined;
    answerJson(context, await admin.list(pattern, context.state.exchange.signal));
  });
  for (const command of commands) {
    router.post(`/api/v1/${command}`, async context => {
      const { image } = await readCommand(context);
      if (typeof image !== 'string') throw badRequest('the request body names no image');
      answerJson(context, await admin[command](image, context.state.exchange.signal));
    });
  }
  router.get('/api/v1/history', async context => {
    const image = context.URL.searchParams.get('image');
    if (image === null) throw badRequest('the query names no image');
    answerJson(context, await admin.tags.history(image, context.state.exchange.signal));
  });
  router.post('/api/v1/restore', async context => {
    const { image, at, digest } = await readCommand(context);
    if (typeof image !== 'string') throw badRequest('the request body names no image');
    const wanted = { ...(typeof at === 'string' && { at }), ...(typeof digest === 'string' && { digest }) };
    const { signal } = context.state.exchange;
    answerJson(context, await admin.tags.restore(image, wanted, { signal }));
  });
  router.post('/api/v1/promote', async context => {
    const { to, from, platforms = [] } = await readCommand(context);
    if (typeof from !== 'string' || typeof to !== 'string')
      throw badRequest('the request body names no images');
    const texts = Array.isArray(platforms) ? platforms.map(String) : [String(platforms)];
    const { signal } = context.state.exchange;
    answerJson(context, await admin.tags.promote(from, to, texts, { signal }));
  });
  router.get('/api/v1/retention', async context => {
    answerJson(context, await admin.tags.explainRetention(context.state.exchange.signal));
  });
  router.post('/api/v1/import', async context => {
    const { from, fromUrl, into } = await readCommand(context);
    if (typeof from !== 'string') throw badRequest('the request body names no folder');
    const request = {
      from,
      ...(typeof fromUrl === 'string' && { fromUrl }),
      ...(typeof into === 'string' && { into }),
    };
    await answerLong(context, onProgress =>
      admin.importFolder(request, context.state.exchange.signal, onProgress),
    );
  });
  router.post('/api/v1/repair', async context => {
    const { repository } = await readCommand(context);
    const name = typeof repository === 'string' ? repository : undefined;
    answerJson(context, await admin.repair(name, context.state.exchange.signal));
  });
  router.post('/api/v1/notifications/replay', async context => {
    const { target } = await readCommand(context);
    if (typeof target !== 'string') throw badRequest('the request body names no target');
    answerJson(context, await admin.replay(target, context.state.exchange.signal));
  });
  router.post('/api/v1/gc', async context => {
    const { dryRun } = await readJsonObject(context.req, context.res);
    const wanted = { dryRun: dryRun !== false };
    await answerLong(context, onProgress => admin.gc(wanted, context.state.exchange.signal, onProgress));
  });
  router.post('/api/v1/scrub', async context => {
    const { bytesPerSecond } = await readJsonObject(context.req, context.res);
    const wanted = typeof bytesPerSecond === 'number' ? { bytesPerSecond } : {};
    await answerLong(context, onProgress => admin.scrub(wanted, context.state.exchange.signal, onProgress));
  });
  router.get('/api/v1/report', async context => {
    const since = Number(context.URL.searchParams.get('since') ?? Number.NaN);
    if (Number.isNaN(since)) throw badRequest('the query names no time');
    answerJson(context, await admin.report(since, context.state.exchange.signal));
  });
  router.post('/api/v1/warm', async context => {
    const { images, platforms = [] } = await readJsonObject(context.req, context.res, warmLimits);
    if (!isTexts(images) || !isTexts(platforms)) throw badRequest('the request body names no images');
    answerLines(context, admin.warm({ images, platforms }, context.state.exchange.signal));
  });
  router.post('/api/v1/read-only', async context => {
    const { readOnly } = await readJsonObject(context.req, context.res);
    const state = typeof readOnly === 'string' || typeof readOnly === 'boolean' ? readOnly : undefined;
    answerJson(context, await admin.readOnly(state, context.state.exchange.signal));
  });
  addBundleRoutes(router, admin.bundles, answerJson);
  app.use(router.routes());
  app.use(() => {
    throw new RegistryError('UNSUPPORTED', {
      status: 404,
      message: 'this daemon does not know that command',
    });
  });
  return app.callback();
}

/** A JSON line as soon as there is one. An error after the first one cuts the answer. */
function answerLines(context: AppContext, events: AsyncIterable<object>): void {
  context.status = 200;
  context.set('Content-Type', 'application/x-ndjson');
  context.set('Cache-Control', 'no-store');
  context.body = Readable.from(toLines(events));
}

async function* toLines(events: AsyncIterable<object>): AsyncGenerator<string, void, void> {
  for await (const event of events) yield `${JSON.stringify(event)}\n`;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string');
}

/** The body of a command. What it is about (`image`, `target`, …: its first text) is noted for the audit. Errors: as `readJsonObject`. */
async function readCommand({ req, res, state }: AppContext): Promise<Readonly<Record<string, unknown>>> {
  const body = await readJsonObject(req, res);
  const about = Object.values(body).find(value => typeof value === 'string');
  if (typeof about === 'string') state.exchange.asked = { wanted: 'admin', reference: about };
  return body;
}

/** Errors: SIZE_INVALID; UNSUPPORTED (400) for another body. */
async function readJsonObject(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits = bodyLimits,
): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readWholeBody(request, response, limits);
  const body = parseJson(bytes.toString('utf8'));
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body };
  throw badRequest('the request body is not a JSON object');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // refused as no object
  }
}

function badRequest(message: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { status: 400, message });
}
