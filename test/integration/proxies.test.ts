/** On the way out through a proxy: tunnels for https, whole URLs for http, credentials that stay with the proxy. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { startMirror } from '../../src/app/mirror.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createLogger } from '../../src/log.ts';
import { CertificateAuthority } from '../support/certificates.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { redirectTo } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { startProxy } from '../support/proxy.ts';
import { blobLine } from '../support/request-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type FakeUpstream, type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const image = buildImage();
const layer = image.layers[0]?.descriptor.digest ?? '';
const base = '/v2/library/alpine';

async function upstreamWith(options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
  const upstream = await startFakeUpstream(options);
  upstream.put('library/alpine', image, 'latest');
  return upstream;
}

async function pull(url: string): Promise<void> {
  expect(await get(url, `${base}/manifests/latest`)).toMatchObject({ status: 200, sha256: image.digest });
  for (const { descriptor } of image.blobs) {
    const result = await get(url, `${base}/blobs/${descriptor.digest}`);
    expect(result).toMatchObject({ status: 200, sha256: descriptor.digest });
  }
}

describe('plain http', () => {
  test('is asked for with the whole URL and never tunnelled, redirects included', async () => {
    const upstream = await upstreamWith({ redirect: true });
    const proxy = await startProxy();
    const mirror = await startTestMirror({ upstream, hub: { proxy: proxy.url() } });
    await pull(mirror.url);
    const asked = upstream.requests.map(entry => `GET ${upstream.host(entry.host).url}${entry.path}`);
    expect(asked.length).toBe(1 + 2 * image.blobs.length);
    expect(proxy.lines).toEqual(asked);
    expect(proxy.headers.every(headers => headers.host !== `127.0.0.1:${proxy.port}`)).toBe(true);
  });

  test('goes on where the proxy cut it', async () => {
    const blob = patternBlob('cut by the proxy', 3_000_000);
    const upstream = await upstreamWith();
    upstream.putBlob('library/alpine', blob.digest, blob);
    const proxy = await startProxy();
    const mirror = await startTestMirror({ upstream, hub: { proxy: proxy.url() } });
    proxy.cutNextAfter(1_000_000);
    const result = await get(mirror.url, `${base}/blobs/${blob.digest}`);
    expect(result).toMatchObject({ status: 200, sha256: blob.digest });
    expect(upstream.lines()).toEqual([blobLine(blob.digest), expect.stringMatching(/ bytes=\d+-$/)]);
  });
});

describe('https', () => {
  test('is tunnelled, and the certificate is checked with the own authority', async () => {
    const upstream = await upstreamWith({ tls: true, redirect: true });
    const proxy = await startProxy();
    const hub = { proxy: proxy.url(), ca_file: upstream.caFile };
    const mirror = await startTestMirror({ upstream, hub });
    await pull(mirror.url);
    const hosts = (['registry', 'storage'] as const).map(role => `CONNECT ${upstream.host(role).address}`);
    expect([...new Set(proxy.lines)].toSorted()).toEqual(hosts.toSorted());
  });

  test('is refused when the authority is unknown', async () => {
    const upstream = await upstreamWith({ tls: true });
    const proxy = await startProxy();
    const mirror = await startTestMirror({ upstream, hub: { proxy: proxy.url() } });
    expect((await get(mirror.url, `${base}/manifests/latest`)).status).toBe(503);
    expect(upstream.requests).toEqual([]);
  });

  test('goes through a proxy that is reached by https itself', async () => {
    const authority = new CertificateAuthority(await tempDir());
    const upstream = await upstreamWith({ tls: true });
    const proxy = await startProxy({ certificate: authority.issue() });
    const hub = { proxy: proxy.url(), insecure: true, ca_file: authority.caFile };
    const mirror = await startTestMirror({ upstream, hub });
    await pull(mirror.url);
    expect(proxy.lines).toContain(`CONNECT ${upstream.address}`);
  });

  test('that the proxy does not tunnel is an upstream that cannot be reached', async () => {
    const upstream = await upstreamWith({ tls: true });
    const proxy = await startProxy({ refuseTunnels: 403 });
    const mirror = await startTestMirror({ upstream, hub: { proxy: proxy.url(), insecure: true } });
    const result = await get(mirror.url, `${base}/manifests/latest`);
    expect(result.status).toBe(503);
    expect(await mirror.metric('cistern_breaker_open{upstream="docker.io"}')).toBe(1);
  });
});

describe('credentials of the proxy', () => {
  test.each([false, true])('reach the proxy alone, and no log (TLS upstream: %s)', async tls => {
    const upstream = await upstreamWith({ tls });
    const proxy = await startProxy({ credentials: 'someone:pl4nted:secret' });
    const hub = { proxy: proxy.url('someone:pl4nted%3Asecret'), ...(tls && { ca_file: upstream.caFile }) };
    const mirror = await startTestMirror({ upstream, hub });
    await pull(mirror.url);
    await get(mirror.url, `${base}/manifests/missing`);
    expect(proxy.lines.some(line => line.startsWith('407'))).toBe(false);
    expect(upstream.requests.every(entry => entry.headers['proxy-authorization'] === undefined)).toBe(true);
    const encoded = Buffer.from('someone:pl4nted:secret').toString('base64');
    const written = JSON.stringify(mirror.log) + (await get(mirror.url, '/metrics')).body.toString();
    expect(written).not.toContain('pl4nted');
    expect(written).not.toContain(encoded);
  });

  test.each([false, true])(
    'that are wrong make it 503, without a word of them (TLS upstream: %s)',
    async tls => {
      const upstream = await upstreamWith({ tls });
      const proxy = await startProxy({ credentials: 'someone:right' });
      const hub = { proxy: proxy.url('someone:pl4nted'), ...(tls && { ca_file: upstream.caFile }) };
      const mirror = await startTestMirror({ upstream, hub });
      const result = await get(mirror.url, `${base}/manifests/latest`);
      expect(result.status).toBe(503);
      expect(JSON.stringify(mirror.log) + result.body.toString()).not.toContain('pl4nted');
      expect(upstream.requests).toEqual([]);
    },
  );
});

describe('behind a proxy', () => {
  test.each(['http://127.0.0.2:1/x', 'http://localhost:1/x', 'http://169.254.169.254/latest'])(
    'a redirect of a public upstream to %s is refused here',
    async target => {
      const upstream = await upstreamWith();
      upstream.fault({ digest: layer }, redirectTo(target), { times: 'always' });
      const proxy = await startProxy();
      // only the proxy can resolve the name
      const url = `http://registry.test:${upstream.port}`;
      const mirror = await startTestMirror({ upstream: { url }, hub: { proxy: proxy.url() } });
      expect((await get(mirror.url, `${base}/manifests/latest`)).status).toBe(200);
      const result = await get(mirror.url, `${base}/blobs/${layer}`);
      expect(result.status).toBe(404);
      expect(JSON.parse(result.body.toString()).errors[0].detail.reason).toBe('blocked');
      expect(proxy.lines.every(line => line.includes('registry.test'))).toBe(true);
    },
  );
});

describe('the environment', () => {
  async function startWith(env: NodeJS.ProcessEnv, url: string): Promise<string> {
    const variables = {
      CISTERN_HTTP_LISTEN: '127.0.0.1:0',
      CISTERN_STORE_PATH: await tempDir(),
      CISTERN_STORE_MIN_FREE: '0',
      CISTERN_UPSTREAMS_DOCKER_IO_URL: url,
      CISTERN_UPSTREAMS_DOCKER_IO_TIMEOUTS_FIRST_BYTE: '2s',
    };
    const { config } = await loadConfig({ env: { ...variables, ...env }, cwd: await tempDir() });
    const logger = createLogger({ level: 'error', format: 'json', write: () => undefined });
    const mirror = await startMirror(config, { logger });
    onTestFinished(() => mirror.close({ drainMs: 0 }));
    return mirror.urls[0] ?? '';
  }

  test('names the proxy, and NO_PROXY what goes past it', async () => {
    const upstream = await upstreamWith();
    const proxy = await startProxy();
    const named = `http://registry.test:${upstream.port}`;
    await pull(await startWith({ HTTP_PROXY: proxy.url() }, named));
    expect(proxy.lines.length).toBe(1 + image.blobs.length);
    const past = await startWith({ HTTP_PROXY: proxy.url(), NO_PROXY: '.test' }, named);
    expect((await get(past, `${base}/manifests/latest`)).status).toBe(503); // that name can't be resolved here
    expect(proxy.lines.length).toBe(1 + image.blobs.length);
  });

  test('never sends what is on this machine through a proxy', async () => {
    const upstream = await upstreamWith();
    const proxy = await startProxy();
    await pull(await startWith({ HTTP_PROXY: proxy.url(), HTTPS_PROXY: proxy.url() }, upstream.url));
    expect(proxy.lines).toEqual([]);
  });
});
