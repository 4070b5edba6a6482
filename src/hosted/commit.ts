/**
 * A change of a hosted repository that was decided by what the repository is now: when another commit came first that changed what it was
 * decided by, it is decided anew; others wait for it in the end. So nothing is written that a change in between would have forbidden.
 */
import { systemTimers, wait } from '../lib/wait.ts';
import type { Repository } from '../oci/name.ts';
import {
  type DecidedBy,
  GenerationConflict,
  type HostedChange,
  type HostedLog,
  type HostedRepository,
} from './log/hosted-log.ts';

/** After so many a commit takes a turn of its own, in which it is the first. */
const triesBesideOthers = 4;

/**
 * `decide` gets the repository (undefined: there is none yet) and says what to write; it may throw instead. What it answers is appended
 * as one line. `by`: all that it looks at. It commits nothing else to that repository, which may have to wait for it. Errors: those of
 * `decide` and of the log; the signal's reason.
 */
export async function commitDecided(
  log: HostedLog,
  name: Repository,
  decide: (
    repository: HostedRepository | undefined,
  ) => readonly HostedChange[] | Promise<readonly HostedChange[]>,
  signal: AbortSignal,
  by?: DecidedBy,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    const turn = tries > triesBesideOthers ? await log.takeTurn(name) : undefined;
    try {
      const repository = await log.readRepository(name);
      const generation = repository?.generation ?? 0; // before `decide`, which may wait
      const changes = await decide(repository);
      await log.commit(name, changes, generation, { by, turn });
      return;
    } catch (error) {
      if (!(error instanceof GenerationConflict)) throw error;
    } finally {
      turn?.giveBack();
    }
    await wait(systemTimers, 2 ** tries, signal);
  }
}
