/** The metric of logins, as docs/metrics.md has it. */
import { readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { LoginMetrics } from '../../../src/metrics/login-metrics.ts';

test('logins are counted by source and result, from the start', async () => {
  const registry = new Registry();
  const metrics = new LoginMetrics(registry);
  metrics.loggedIn('htpasswd', 'right');
  metrics.loggedIn('none', 'throttled');
  const lines = (await registry.metrics()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  expect(lines.sort()).toEqual([
    'cistern_logins_total{source="htpasswd",result="right"} 1',
    'cistern_logins_total{source="htpasswd",result="throttled"} 0',
    'cistern_logins_total{source="htpasswd",result="unavailable"} 0',
    'cistern_logins_total{source="htpasswd",result="wrong"} 0',
    'cistern_logins_total{source="none",result="throttled"} 1',
    'cistern_logins_total{source="none",result="wrong"} 0',
  ]);
  const docs = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  expect(docs).toContain('| `cistern_logins_total` | `source`, `result` |');
});
