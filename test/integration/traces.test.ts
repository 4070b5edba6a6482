/**
 * Traces: what a receiver gets of a cold pull, whose trace a client begins, who learns of it, and that no request waits for the receiver.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Pool } from 'undici';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts';
import { spawnProcess } from '../support/process.ts';
import { startProxy } from '../support/proxy.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const image = buildImage({ layers: [patternBlob('traced', 200_000)] });
const [config, layer] = image.blobs.map(({ descriptor }) => descriptor.digest);
const manifestPath = '/v2/library/app/manifests/latest';
const blobPath = (digest: string | undefined) => `/v2/library/app/blobs/${digest}`;
const accept = { accept: 'application/vnd.oci.image.manifest.v1+json' };

type Headers = Readonly<Record<string, string>>;

async function start(
  upstreamOptions: FakeUpstreamOptions = {},
  tracing: Readonly<Record<string, unknown>> = {},
) {
  const receiver = await OtlpReceiver.start();
  const upstream = await startFakeUpstream(upstreamOptions);
  upstream.put('library/app', image, 'latest');
  const mirror = await startTestMirror({
    upstream,
    config: { tracing: { endpoint: receiver.url, ...tracing } },
  });
  return { receiver, upstream, mirror, pull: (headers?: Headers) => pull(mirror.url, headers) };
}

async function pull(url: string, headers: Headers = {}): Promise<void> {
  const manifest = await get(url, manifestPath, { headers: { ...accept, ...headers } });
  expect([manifest.status, manifest.sha256]).toEqual([200, image.digest]);
  for (const digest of [config, layer])
    expect((await get(url, blobPath(digest), { headers, keep: false })).sha256).toBe(digest);
}

/** Each line: depth, what was asked, its status, and what became of it. Brothers in alphabetical order. */
function treeOf(spans: readonly ReceivedSpan[], parent = '', depth = 0): string[] {
  return spans
    .filter(({ parentSpanId }) => parentSpanId === parent)
    .map(({ attributes, name, spanId }) => {
      const outcome = attributes['cistern.outcome'] ?? '';
      const status = attributes['http.response.status_code'];
      const line = `${'. '.repeat(depth)}${name} ${status} ${outcome}`.trimEnd();
      return [line, ...treeOf(spans, spanId, depth + 1)].join('\n');
    })
    .sort();
}

test('a cold pull: a span for each request, and below it each question to registry, realm and storage, with its id', async () => {
  const { receiver, mirror, pull } = await start({ auth: { kind: 'token' }, redirect: true });
  await pull({ 'x-request-id': 'pull-1' });
  await get(mirror.url, '/healthz');
  await mirror.close(); // sends what is not sent yet
  const manifest = ['GET manifest 200 miss', '. GET manifest 200', '. GET manifest 401', '. GET other 200'];
  const blob = ['GET blob 200 miss', '. GET blob 307', '. GET other 200'];
  expect(treeOf(receiver.spans)).toEqual([blob.join('\n'), blob.join('\n'), manifest.join('\n')]);
  expect(receiver.requests.every(line => line === 'POST /v1/traces')).toBe(true);
  expect(receiver.resource['service.name']).toBe('cistern');
  for (const { attributes, kind, parentSpanId, isError } of receiver.spans) {
    expect(attributes['cistern.request_id']).toBe('pull-1');
    expect(kind).toBe(parentSpanId === '' ? 2 : 3);
    expect(isError).toBe(attributes['http.response.status_code'] === 401);
    expect(String(attributes['url.path'])).not.toContain('?'); // signatures
  }
  expect(new Set(receiver.spans.map(({ traceId }) => traceId)).size).toBe(3);
});

test('a hit costs no question, and a client that joins a download has a span of its own without one', async () => {
  const { receiver, mirror, pull } = await start();
  await pull();
  await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
  await pull();
  await mirror.close();
  const hits = receiver.spans.filter(({ attributes }) => attributes['cistern.outcome'] === 'hit');
  expect(hits.map(({ name }) => name).sort()).toEqual(['GET blob', 'GET blob', 'GET manifest']);
  const parents = new Set(receiver.spans.map(({ parentSpanId }) => parentSpanId));
  expect(hits.filter(({ spanId }) => parents.has(spanId))).toEqual([]);
});

test('a client that traces: its trace goes on here and in an upstream of the own network; its choice counts', async () => {
  const { receiver, upstream, mirror, pull } = await start({}, { sample: 0 });
  await pull();
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const before = upstream.requests.length;
  await get(mirror.url, blobPath(image.digest), {
    headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  });
  await get(mirror.url, '/v2/library/other/manifests/1', {
    headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  });
  await get(mirror.url, '/v2/library/other/manifests/2', { headers: { traceparent: 'no traceparent' } });
  await mirror.close();
  expect(new Set(receiver.spans.map(span => span.traceId))).toEqual(new Set([traceId]));
  const asked = upstream.requests.slice(before).map(({ headers }) => String(headers['traceparent']));
  const [first = '', last = ''] = asked;
  const sent = receiver.spans
    .filter(({ kind }) => kind === 3)
    .map(({ spanId }) => `00-${traceId}-${spanId}-01`);
  expect(sent).toContain(first);
  expect(last).toMatch(/-00$/); // not sampled, and told so
});

test('an upstream that is not of the own network never learns of a trace', async () => {
  const receiver = await OtlpReceiver.start();
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  const proxy = await startProxy(); // knows every name
  const url = new URL(upstream.url);
  url.hostname = 'registry.test';
  const mirror = await startTestMirror({
    upstream: { url: url.href },
    hub: { proxy: proxy.url() },
    config: { tracing: { endpoint: receiver.url } },
  });
  await pull(mirror.url, { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' });
  await mirror.close();
  const registry = upstream.requests.filter(({ headers }) =>
    String(headers['host']).startsWith('registry.test'),
  );
  expect(registry.length).toBeGreaterThan(2);
  expect(registry.filter(({ headers }) => headers['traceparent'] !== undefined)).toEqual([]);
  expect(receiver.spans.filter(({ kind }) => kind === 3).length).toBeGreaterThan(2);
});

test.each([503, 'away'] as const)(
  'a receiver that is %s: pulls are as ever, and the log says it once',
  async mode => {
    const { receiver, mirror, pull } = await start();
    if (mode === 'away') receiver.close();
    else receiver.mode = mode;
    await pull();
    const failed = () => mirror.metric('cistern_trace_spans_total{result="failed"}');
    await expect.poll(failed).toBeGreaterThanOrEqual(3);
    expect(await mirror.metric('cistern_trace_spans_total{result="sent"}')).toBe(0);
    await mirror.close();
    expect(mirror.log.filter(({ msg }) => msg === 'traces cannot be sent')).toHaveLength(1);
    expect(mirror.log.filter(({ level }) => level === 'error')).toEqual([]);
  },
);

test('a receiver that never answers: no request waits for it, and what the queue has no room for is dropped', async () => {
  const { receiver, mirror } = await start();
  receiver.mode = 'silent';
  const many = 4000;
  const pool = new Pool(mirror.url, { connections: 8, pipelining: 8 });
  const statuses = await Promise.all(
    Array.from({ length: many }, async () => {
      const { statusCode, body } = await pool.request({ method: 'GET', path: '/v2/' });
      await body.dump();
      return statusCode;
    }),
  );
  await pool.close();
  expect(new Set(statuses)).toEqual(new Set([200]));
  receiver.mode = 'take';
  await mirror.close();
  expect(receiver.spans.length).toBeLessThan(many); // 2,048 in the queue, and what was on its way
});

test('without tracing nothing of it is loaded', async () => {
  const receiver = await OtlpReceiver.start();
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  const loadedBy = async (config: Readonly<Record<string, unknown>>): Promise<readonly string[]> => {
    const folder = await tempDir();
    const file = join(folder, 'mirror.yml');
    const upstreams = { 'docker.io': { url: upstream.url } };
    const own = { http: { listen: '127.0.0.1:0' }, store: { path: join(folder, 'data'), min_free: 0 } };
    await writeFile(file, stringify({ ...own, upstreams, ...config }));
    const env = { ...process.env, NODE_V8_COVERAGE: join(folder, 'coverage') };
    const child = spawnProcess(process.execPath, ['dist/main.js', 'serve', '--config', file], { env });
    const { url } = await child.waitForMessage('listening');
    await pull(String(url));
    await child.stop();
    const [name = ''] = await readdir(join(folder, 'coverage'));
    const { result } = JSON.parse(await readFile(join(folder, 'coverage', name), 'utf8'));
    return result.map((script: { readonly url: string }) => script.url);
  };
  // prom-client brings the types of @opentelemetry/api along.
  const isOfTracing = (url: string) => /@opentelemetry\/(?!api\/)|dist\/tracing\/|trace-metrics/.test(url);
  const without = await loadedBy({});
  expect(without.filter(isOfTracing)).toEqual([]);
  expect(without.some(url => url.endsWith('dist/http/exchange.js'))).toBe(true); // it does see what is loaded
  const traced = await loadedBy({ tracing: { endpoint: receiver.url } });
  expect(traced.filter(isOfTracing).length).toBeGreaterThan(10);
});
