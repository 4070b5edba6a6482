/** `npm run trace`: the table of docs/architecture.md, "What runs on which trip"; not part of the tests. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// biome-ignore lint/style/noDefaultExport: vitest takes its configuration from the default export
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/bench/**/*.trace.ts'],
    reporters: ['dot'],
    testTimeout: 120_000,
    maxWorkers: 1,
  },
});
