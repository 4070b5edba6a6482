/** The soak of test/integration/collection.test.ts for five minutes. */
import { test } from 'vitest';
import { soakCollection } from '../support/collection-soak.ts';

const seed = Number(process.env['GC_SEED'] ?? Math.floor(Math.random() * 100_000));

test(`pushes, deletes, evictions and collections for 300 s lose nothing and leave nothing over (seed ${seed})`, async () => {
  const counts = await soakCollection(300, seed);
  const text = [...counts].sort().map(([what, count]) => `${what}: ${count}`);
  process.stdout.write(`seed ${seed}: ${text.join(', ')}\n`);
});
