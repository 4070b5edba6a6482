/** Loaded into the daemon: at SIGPWR it writes how often `JSON.parse` was called so far to the file that CISTERN_TEST_FIGURE names. */
import { writeFileSync } from 'node:fs';

const { parse } = JSON;
let count = 0;
JSON.parse = (...args) => {
  count += 1;
  return parse(...args);
};
process.on('SIGPWR', () => writeFileSync(process.env.CISTERN_TEST_FIGURE, String(count)));
