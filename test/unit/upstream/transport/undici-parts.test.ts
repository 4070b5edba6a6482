import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import * as parts from '../../../../src/upstream/transport/undici-parts.ts';

test('the parts are those of the package, and can send requests', () => {
  const { Dispatcher } = createRequire(import.meta.url)('undici');
  expect(parts.Agent.prototype).toBeInstanceOf(Dispatcher);
  expect(parts.Agent.prototype.request).toBe(Dispatcher.prototype.request);
  const whole: Record<string, unknown> = createRequire(import.meta.url)('undici');
  for (const [name, part] of Object.entries(parts)) expect([name, part]).toEqual([name, whole[name]]);
  expect(Object.keys(parts)).toHaveLength(5);
});
