/**
 * Beats of life for systemd (`WatchdogSec=`), from a timer of the main loop: a process whose loop is blocked sends none and is
 * restarted. Without `WATCHDOG_USEC` in the environment nothing runs.
 */
import { spawn } from 'node:child_process';
import type { Logger } from '../telemetry/logger.ts';

export interface WatchdogOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly pid: number;
  readonly logger: Logger;
}

/** Node has no datagram sockets on paths, so systemd's own program sends them; the unit says `NotifyAccess=all`. */
const program = 'systemd-notify';

/** The answer stops it. */
export function startWatchdog({ env, pid, logger }: WatchdogOptions): () => void {
  const intervalMs = Number(env['WATCHDOG_USEC']) / 1000;
  const isMeant = env['WATCHDOG_PID'] === undefined || env['WATCHDOG_PID'] === String(pid);
  if (!(intervalMs > 0) || !isMeant) return () => {};
  let hasFailed = false;
  const beat = (): void => {
    const child = spawn(program, ['WATCHDOG=1'], { env, stdio: 'ignore' });
    child.on('error', error => {
      if (!hasFailed) logger.warn('systemd cannot be told that this process lives', { error });
      hasFailed = true;
    });
    child.unref();
  };
  beat();
  const timer = setInterval(beat, intervalMs / 2);
  timer.unref();
  return () => clearInterval(timer);
}
