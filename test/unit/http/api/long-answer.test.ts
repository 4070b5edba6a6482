/** A command that takes long, over a real socket: what the daemon writes and the command line reads. */
import { createServer } from 'node:http';
import { join } from 'node:path';
import Koa from 'koa';
import { expect, onTestFinished, test } from 'vitest';
import { askDaemon } from '../../../../src/cli/socket/ask-daemon.ts';
import { answerLong } from '../../../../src/http/api/long-answer.ts';
import { answerErrors } from '../../../../src/http/errors.ts';
import { type AppState, Exchange } from '../../../../src/http/exchange.ts';
import { RegistryError } from '../../../../src/oci/error.ts';
import type { OnProgress, Progress } from '../../../../src/telemetry/progress.ts';
import { deferred } from '../../../support/gates.ts';
import { Recorder } from '../../../support/recorder.ts';
import { tempDir } from '../../../support/temp-dir.ts';

type Work = (onProgress: OnProgress | undefined, signal: AbortSignal) => Promise<object>;

async function serve(work: Work): Promise<string> {
  const app = new Koa<AppState>();
  app.use((context, next) => {
    context.state.exchange = new Exchange(context.res);
    return next();
  });
  app.use(answerErrors(new Recorder().logger));
  app.use(context => answerLong(context, onProgress => work(onProgress, context.state.exchange.signal)));
  const server = createServer(app.callback());
  const path = join(await tempDir(), 'socket');
  await new Promise<void>(resolve => server.listen(path, resolve));
  onTestFinished(() => void server.close());
  return path;
}

const half: Progress = { done: 1, total: 2, unit: 'images', note: 'busybox' };

test('the client hears of progress before the work is done, then gets the report', async () => {
  const heard = deferred();
  const path = await serve(async onProgress => {
    onProgress?.(half);
    await heard.promise; // hangs unless the line goes out while the work runs
    return { images: 2 };
  });
  const seen: Progress[] = [];
  const onProgress: OnProgress = progress => {
    seen.push(progress);
    heard.resolve();
  };
  const { status, body } = await askDaemon(path, 'POST', '/', { onProgress });
  expect([status, JSON.parse(String(body)), seen]).toEqual([200, { images: 2 }, [half]]);
});

test('a client that does not ask for lines gets one document, and the work reports to none', async () => {
  const path = await serve(async onProgress => ({ listens: onProgress !== undefined }));
  const { status, body } = await askDaemon(path, 'POST', '/');
  expect([status, JSON.parse(String(body))]).toEqual([200, { listens: false }]);
});

test.each([true, false])(
  'an error has its status and code, after a line (%s) as before one',
  async isLate => {
    const path = await serve(async onProgress => {
      if (isLate) onProgress?.(half);
      throw new RegistryError('UNAVAILABLE', { message: 'a log is damaged' });
    });
    const { status, body } = await askDaemon(path, 'POST', '/', { onProgress: () => {} });
    const errors = [{ code: 'UNAVAILABLE', message: 'a log is damaged' }];
    expect([status, JSON.parse(String(body))]).toEqual([503, { errors }]);
  },
);

test('a daemon that ends in the middle is an error, not a report', async () => {
  const path = await serve(async onProgress => {
    onProgress?.(half);
    throw new Error('a defect'); // answered as UNKNOWN
  });
  const { status, body } = await askDaemon(path, 'POST', '/', { onProgress: () => {} });
  expect([status, String(body)]).toEqual([500, expect.stringContaining('"UNKNOWN"')]);

  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
    response.end(`${JSON.stringify({ progress: half })}\n`);
  });
  const cut = join(await tempDir(), 'socket');
  await new Promise<void>(resolve => server.listen(cut, resolve));
  onTestFinished(() => void server.close());
  await expect(askDaemon(cut, 'POST', '/', { onProgress: () => {} })).rejects.toThrow('has ended');
});

test('a client that leaves ends the work', async () => {
  const ended = deferred();
  const path = await serve(async (onProgress, signal) => {
    signal.addEventListener('abort', () => ended.resolve());
    onProgress?.(half);
    await ended.promise;
    throw signal.reason;
  });
  const stop = new AbortController();
  const asked = askDaemon(path, 'POST', '/', { stop: stop.signal, onProgress: () => stop.abort() });
  await expect(asked).rejects.toThrow();
  await expect(ended.promise).resolves.toBeUndefined();
});
