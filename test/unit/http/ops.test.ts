import { describe, expect, it, onTestFinished } from 'vitest';
import { createOpsApp } from '../../../src/http/app.ts';
import type { Readiness } from '../../../src/http/ops.ts';
import { Listener } from '../../../src/http/server/listener.ts';
import { createLogger } from '../../../src/log.ts';
import { Metrics } from '../../../src/metrics/metrics.ts';
import { get, head } from '../../support/client.ts';
import { serveApp } from '../../support/served-app.ts';

describe('ops', () => {
  it('/healthz says that the process lives', async () => {
    const { url } = await serveApp({ ready: () => ({ ok: false, detail: {} }) });
    const answer = await get(url, '/healthz');
    expect([answer.status, JSON.parse(answer.body.toString())]).toEqual([200, { ok: true }]);
    expect((await head(url, '/healthz')).status).toBe(200);
  });

  it('/readyz turns to 503 with the detail, and back', async () => {
    let readiness: Readiness = { ok: true, detail: { lru: 'embedded' } };
    const { url } = await serveApp({ ready: () => readiness });
    const first = await get(url, '/readyz');
    expect([first.status, JSON.parse(first.body.toString())]).toEqual([200, { ok: true, lru: 'embedded' }]);
    readiness = { ok: false, detail: { draining: true } };
    const second = await get(url, '/readyz');
    expect([second.status, JSON.parse(second.body.toString())]).toEqual([503, { ok: false, draining: true }]);
  });

  it('metrics have the type that Prometheus expects and count requests', async () => {
    const { url, ended } = await serveApp();
    await get(url, '/v2/');
    await ended(1);
    const answer = await get(url, '/metrics');
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.body.toString()).toContain(
      'cistern_requests_total{upstream="none",kind="ping",method="GET",status="200",outcome="hit"} 1',
    );
  });

  it('on a listener of their own serve no images', async () => {
    const logger = createLogger({ level: 'silent', format: 'json', write: () => {} });
    const metrics = new Metrics({ logger });
    const handle = createOpsApp({
      observer: metrics,
      logger,
      accessLog: false,
      ready: () => ({ ok: true, detail: {} }),
      metricsPath: '/m',
      renderMetrics: () => metrics.render(),
    });
    const listener = await Listener.open({ addresses: [{ host: '127.0.0.1', port: 0 }], handle, logger });
    onTestFinished(() => listener.close({ drainMs: 0 }));
    const [url = ''] = listener.urls;
    expect((await get(url, '/m')).status).toBe(200);
    expect((await get(url, '/metrics')).status).toBe(404);
    expect((await get(url, '/v2/')).status).toBe(404);
  });
});
