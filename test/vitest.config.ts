/**
 * How the tests run: unit, contract and integration tests side by side in two workers, then the suites with real clients and the page,
 * two files at a time, because they wait most of the time. `vitest run --config test/vitest.config.ts --project unit` and so on for a part of them.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { ClosingLineReporter } from './support/closing-line-reporter.ts';

const unitTimeoutMs = 30_000;
const integrationTimeoutMs = 180_000;
const e2eTimeoutMs = 240_000;
const pageTimeoutMs = 120_000;
/** For `expect.poll`: what is waited for comes soon on a free machine, and late on a busy one. */
const poll = { timeout: 30_000 };

// biome-ignore lint/style/noDefaultExport: vitest takes its configuration from the default export
export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    reporters: ['default', new ClosingLineReporter()],
    maxWorkers: 2,
    passWithNoTests: false,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/*.test.ts', 'test/unit/**/*.test.ts', 'test/contract/**/*.test.ts'],
          expect: { requireAssertions: true, poll: { timeout: unitTimeoutMs / 2 } },
          testTimeout: unitTimeoutMs,
          hookTimeout: unitTimeoutMs,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          expect: { requireAssertions: true, poll },
          testTimeout: integrationTimeoutMs,
          hookTimeout: integrationTimeoutMs,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          expect: { requireAssertions: true, poll },
          testTimeout: e2eTimeoutMs,
          hookTimeout: e2eTimeoutMs,
          retry: 1, // real daemons on a busy machine; the reporter names whatever needed it
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'page',
          include: ['test/page/**/*.test.ts'],
          expect: { requireAssertions: true, poll },
          testTimeout: pageTimeoutMs,
          hookTimeout: pageTimeoutMs,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
