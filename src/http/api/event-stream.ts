/**
 * `/api/v1/events` as server-sent events (WHATWG HTML 9.2): `sample` once a second and `job` as jobs change. A client that reads slowly misses
 * samples instead of filling the memory. A stream ends after a quarter of an hour, because rights may change meanwhile: browsers come back.
 */
import type { Caller } from '../../registry/caller.ts';
import type { AppContext } from '../exchange.ts';
import type { ApiSources } from './sources.ts';

const maxUnsentBytes = 64 * 1024;
const longestMs = 15 * 60_000;
/** After which a browser comes back. */
const retryMs = 2000;

export function streamEvents(
  context: AppContext,
  caller: Caller,
  { live, actions }: Pick<ApiSources, 'live' | 'actions'>,
): void {
  const { res, req } = context;
  const { exchange } = context.state;
  context.respond = false;
  res.statusCode = 200;
  res.setHeader('Content-Type', 'text/event-stream');
  res.setHeader('X-Accel-Buffering', 'no'); // nginx would keep them back
  if (req.method === 'HEAD') {
    res.end();
    return;
  }
  const send = (event: string, json: string): void => {
    if (res.writableLength > maxUnsentBytes || res.writableEnded) return;
    const text = `event: ${event}\ndata: ${json}\n\n`;
    exchange.sent(Buffer.byteLength(text));
    res.write(text);
  };
  res.write(`retry: ${retryMs}\n\n`);
  const leaveSamples = live.listen({
    caller,
    onSample: json => send('sample', json),
    onEnd: () => res.end(),
  });
  const leaveJobs = actions.listen(caller, job => send('job', JSON.stringify(job)));
  const timer = setTimeout(() => res.end(), longestMs);
  timer.unref();
  res.once('close', () => {
    clearTimeout(timer);
    leaveSamples();
    leaveJobs();
  });
}
