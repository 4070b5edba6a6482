/**
 * Actions: a request that is answered with a job, and the job until it ends. Its progress comes with the stream of events; where
 * that is closed, it is asked for.
 */
import type { ActionAnswer, ActionRequest, JobAnswer } from '../../http/api/schema/actions.ts';
import type { ActionName } from '../../http/api/schema/session.ts';
import { read, send } from './api.ts';
import { liveState, noteJob } from './live.ts';

const pollMs = 500;
/** Beside the events: one of them may be lost while the browser connects again. */
const checkMs = 3000;

/** What is left out is as the server has it by default. */
export type ActionWish = Partial<ActionRequest>;

/** Resolves with the job once it has begun. Errors: `ApiError`, and what `signal` aborts with. */
export async function startJob(
  action: ActionName,
  wish: ActionWish,
  signal: AbortSignal,
): Promise<JobAnswer> {
  const { job } = await send<ActionAnswer>('POST', `actions/${action}`, wish, signal);
  return await readJob(job, signal);
}

/** Resolves with the job once it has ended; `follow` hears of its progress. Errors: as `startJob`. */
export async function endOfJob(
  begun: JobAnswer,
  follow: (job: JobAnswer) => void,
  signal: AbortSignal,
): Promise<JobAnswer> {
  let job = begun;
  follow(job);
  while (!isEnded(job)) {
    await pause(liveState.value === 'live' && job.action === 'warm' ? checkMs / 3 : pollMs, signal);
    job = await readJob(job.id, signal);
    follow(job);
  }
  return job;
}

export function isEnded({ state }: JobAnswer): boolean {
  return state === 'done' || state === 'failed';
}

async function readJob(id: string, signal: AbortSignal): Promise<JobAnswer> {
  const job = await read<JobAnswer>(`jobs/${encodeURIComponent(id)}`, {}, signal);
  noteJob(job);
  return job;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
