/**
 * `cistern notifications replay NAME`: a target that lost what it was sent, or was repaired, gets it again from the spool,
 * without a wait for the next attempt.
 */
import type { ReplayReport } from '../admin/admin.ts';
import { type AdminOptions, withAdmin, writeReport } from './admin-client.ts';

/** Resolves with the exit code. */
export function runReplay(options: AdminOptions, target: string): Promise<number> {
  return withAdmin(options, {
    isChange: false, // without a daemon there is nothing that could send
    run: async (admin, signal) => {
      writeReport(options, await admin.replay(target, signal), describe);
      return 0;
    },
  });
}

function describe({ target, events }: ReplayReport): string {
  switch (events) {
    case 0:
      return `${target}: its spool keeps no notifications\n`;
    case 1:
      return `${target}: 1 notification will be sent\n`;
    default:
      return `${target}: ${events} notifications will be sent, the oldest first\n`;
  }
}
