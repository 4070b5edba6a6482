/**
 * Preloaded into a program (`node --expose-gc --import`), writes at SIGPWR how many bytes it still uses after a collection of garbage, in the
 * heap and in buffers, to the file that COLLECTED_MEMORY_FILE names.
 */
import { writeFileSync } from 'node:fs';

const file = process.env['COLLECTED_MEMORY_FILE'];
if (file === undefined) throw new Error('expected COLLECTED_MEMORY_FILE in the environment, got none');
process.on('SIGPWR', () => {
  globalThis.gc?.();
  setTimeout(() => {
    globalThis.gc?.(); // what finalizers have let go
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    writeFileSync(file, String(heapUsed + arrayBuffers));
  }, 100);
});
