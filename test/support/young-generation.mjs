/** Loaded into the daemon: at SIGPWR it writes the size of V8's young generation, in bytes, to the file that CISTERN_TEST_FIGURE names. */
import { writeFileSync } from 'node:fs';
import { getHeapSpaceStatistics } from 'node:v8';

process.on('SIGPWR', () => {
  const { space_size } = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
  writeFileSync(process.env.CISTERN_TEST_FIGURE, String(space_size));
});
