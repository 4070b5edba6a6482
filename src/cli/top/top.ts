/**
 * `cistern top`: what the running daemon does now, sampled each second. On a terminal it is redrawn until q; elsewhere each sample follows
 * the last one, until the reader or a signal ends it. Exit code 1 where no daemon runs.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { StatsReport } from '../../admin/admin.ts';
import { type AdminOptions, withAdmin } from '../admin-client.ts';
import { renderTop, type Sample } from './render-top.ts';
import { type KeyboardInput, Screen, type ScreenOutput } from './screen.ts';

export interface TopCommand extends AdminOptions {
  readonly isOnce: boolean;
  readonly input: KeyboardInput;
  readonly output: ScreenOutput;
  /** Aborted by a signal, and by the key that ends it. */
  readonly until: AbortController;
}

const everyMs = 1000;

/** Resolves with the exit code. */
export async function runTop(options: TopCommand): Promise<number> {
  const { isOnce, json, input, output, until } = options;
  const isScreen = output.isTTY === true && !isOnce && json !== true;
  let screen: Screen | undefined;
  let before: Sample | undefined;
  try {
    for (;;) {
      const { code, report } = await sample(options);
      if (report === undefined) return code;
      const now = { atMs: performance.now(), report };
      if (isScreen) screen ??= new Screen(input, output, () => until.abort());
      show(options, screen, now, before);
      before = now;
      if (isOnce || until.signal.aborted) return 0;
      await pause(until.signal);
      if (until.signal.aborted) return 0;
    }
  } finally {
    screen?.close();
  }
}

/** From the daemon that has the store at that moment: it may be restarted meanwhile. Without a report: the exit code. */
async function sample(
  options: TopCommand,
): Promise<{ readonly code: number; readonly report?: StatsReport }> {
  const found: StatsReport[] = [];
  const code = await withAdmin(options, {
    isChange: false,
    run: async admin => {
      found.push(await admin.stats({ clients: true }));
      return 0;
    },
  });
  const [report] = found;
  if (report === undefined) return { code };
  if (report.daemon !== null) return { code, report };
  options.writeError('error: no daemon runs with this store\n');
  return { code: 1 };
}

function show(
  { json, isOnce, write }: TopCommand,
  screen: Screen | undefined,
  now: Sample,
  before: Sample | undefined,
): void {
  if (json === true) {
    write(`${JSON.stringify(now.report)}\n`);
    return;
  }
  const text = renderTop(now, before);
  if (screen !== undefined) screen.draw(text);
  else write(isOnce ? text : `${text}\n`);
}

async function pause(signal: AbortSignal): Promise<void> {
  try {
    await delay(everyMs, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
