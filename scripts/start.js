/**
 * `npm start`: builds where that is needed, and becomes the mirror in this very process, so that signals reach it. Further
 * words are options of `serve`.
 */
import { fileURLToPath } from 'node:url';
import { ensureBuilt } from './build.js';

if (ensureBuilt()) {
  const main = new URL('../dist/main.js', import.meta.url);
  process.argv.splice(1, 1, fileURLToPath(main), 'serve');
  await import(main);
} else {
  process.exitCode = 1;
}
