/**
 * A change of a hosted repository that was decided by what the repository is now: when another commit came first, it is
 * decided anew. So nothing is written that a change in between would have forbidden.
 */
import { systemTimers, wait } from '../lib/wait.ts';
import { RegistryError } from '../oci/error.ts';
import type { Repository } from '../oci/name.ts';
import {
  GenerationConflict,
  type HostedChange,
  type HostedLog,
  type HostedRepository,
} from './log/hosted-log.ts';

/** A commit takes a few milliseconds, and this many of others may come first. */
const maxTries = 100;
const longestPauseMs = 50;

/**
 * `decide` gets the repository (undefined: there is none yet) and says what to write; it may throw instead. What it answers is appended
 * as one line. Errors: those of `decide` and of the log, UNAVAILABLE when others are always first; the signal's reason.
 */
export async function commitDecided(
  log: HostedLog,
  name: Repository,
  decide: (
    repository: HostedRepository | undefined,
  ) => readonly HostedChange[] | Promise<readonly HostedChange[]>,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 1; tries <= maxTries; tries += 1) {
    signal.throwIfAborted();
    const repository = await log.readRepository(name);
    const generation = repository?.generation ?? 0; // before `decide`, which may wait
    const changes = await decide(repository);
    try {
      await log.commit(name, changes, generation);
      return;
    } catch (error) {
      if (!(error instanceof GenerationConflict)) throw error;
    }
    await wait(systemTimers, Math.min(longestPauseMs, 2 ** Math.min(tries, 6)), signal);
  }
  throw new RegistryError('UNAVAILABLE', {
    message: `${name} is changed all the time, try again in a moment`,
  });
}
