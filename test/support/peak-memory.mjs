/** Loaded into a command by NODE_OPTIONS: when it ends, its largest resident size is written beside its name, in KiB. */
import { appendFileSync } from 'node:fs';

const file = process.env.CISTERN_TEST_PEAKS;
if (file !== undefined)
  process.on('exit', () => {
    const line = `${process.argv[2]} ${process.resourceUsage().maxRSS}\n`;
    appendFileSync(file, line);
  });
