/**
 * Loaded before a daemon (`node --import`): the process kills itself with SIGKILL right after the n-th operation on a file of the private
 * registry, `CISTERN_TEST_KILL_AFTER`. So a test can stop it at each of its steps, without a gate in the product.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const pattern = /\/(?:uploads|hosted|blobs)-v1\/./;
const killAfter = Number(process.env.CISTERN_TEST_KILL_AFTER);
const { promises } = fs;
let steps = 0;

function stepped() {
  steps += 1;
  if (steps === killAfter) process.kill(process.pid, 'SIGKILL');
}

/** Operations that name their file: of two names, either one counts. */
for (const name of ['rename', 'unlink', 'mkdir', 'truncate', 'rm', 'writeFile', 'appendFile']) {
  const original = promises[name];
  promises[name] = async (...args) => {
    const result = await original(...args);
    if (args.some(arg => typeof arg === 'string' && pattern.test(arg))) stepped();
    return result;
  };
}

const openFile = promises.open;
promises.open = async (path, ...rest) => {
  const handle = await openFile(path, ...rest);
  if (typeof path !== 'string' || !pattern.test(path)) return handle;
  for (const name of ['write', 'writev', 'writeFile', 'appendFile', 'sync', 'datasync', 'truncate']) {
    const original = handle[name].bind(handle);
    handle[name] = async (...args) => {
      const result = await original(...args);
      stepped();
      return result;
    };
  }
  return handle;
};

syncBuiltinESMExports();
