/**
 * Preloaded into a program (`node --import`), writes its longest turn of the event loop, in milliseconds, to the file that
 * LONGEST_TURN_FILE names, four times a second. Begins anew at SIGUSR2: what loading modules takes isn't asked for.
 */
import { writeFileSync } from 'node:fs';
import { TurnWatch } from './turn-watch.ts';

const file = process.env['LONGEST_TURN_FILE'];
if (file === undefined) throw new Error('expected LONGEST_TURN_FILE in the environment, got none');
const watch = new TurnWatch();
process.on('SIGUSR2', () => watch.restart());
setInterval(() => writeFileSync(file, String(watch.longestMs)), 250).unref();
