/**
 * One action from its question to its end: first what would happen, then the confirmation, then the job. The job goes on in
 * the mirror when the dialog is closed, and its end is told wherever the user is by then.
 */
import { type ReadonlySignal, signal } from '@preact/signals';
import type { JobAnswer } from '../../http/api/schema/actions.ts';
import type { ActionName } from '../../http/api/schema/session.ts';
import { announce, tell } from '../state/announcer.ts';
import { ApiError } from '../state/api.ts';
import { noteChange } from '../state/changes.ts';
import { type ActionWish, endOfJob, startJob } from '../state/jobs.ts';
import { actionWords, describeAction } from './action-words.ts';

export interface ActionPlan {
  readonly action: ActionName;
  readonly images: readonly string[];
  /** Of a restore: the digest that the tag gets back. */
  readonly digest?: string;
}

export type ActionStep = 'previewing' | 'asking' | 'running' | 'ended' | 'refused';

export interface ActionState {
  readonly step: ActionStep;
  /** What would happen, or what happens. */
  readonly job: JobAnswer | undefined;
  readonly error: ApiError | undefined;
}

/** The action whose dialog is open. */
export const openRun = signal<ActionRun | undefined>(undefined);

export function ask(plan: ActionPlan): void {
  const run = new ActionRun(plan);
  openRun.value = run;
  void run.preview();
}

export function closeRun(): void {
  openRun.value?.close();
  openRun.value = undefined;
}

export class ActionRun {
  readonly plan: ActionPlan;
  readonly #state = signal<ActionState>({ step: 'asking', job: undefined, error: undefined });
  /** Of the preview alone: a job that was confirmed is not withdrawn. */
  readonly #closing = new AbortController();

  constructor(plan: ActionPlan) {
    this.plan = plan;
  }

  get state(): ReadonlySignal<ActionState> {
    return this.#state;
  }

  async preview(): Promise<void> {
    const { action } = this.plan;
    if (!actionWords[action].hasPreview) return;
    this.#state.value = { step: 'previewing', job: undefined, error: undefined };
    try {
      const { signal: closing } = this.#closing;
      const begun = await startJob(action, { ...this.#wish(), dryRun: true }, closing);
      const job = await endOfJob(begun, () => {}, closing);
      this.#state.value = { step: 'asking', job, error: undefined };
    } catch (error) {
      this.#fail(error);
    }
  }

  /** `more`: what was filled in. */
  async confirm(more: ActionWish): Promise<void> {
    const { action, images } = this.plan;
    this.#state.value = { step: 'running', job: undefined, error: undefined };
    const lasting = new AbortController();
    try {
      const begun = await startJob(action, { ...this.#wish(), ...more }, lasting.signal);
      const job = await endOfJob(
        begun,
        progress => {
          this.#state.value = { step: 'running', job: progress, error: undefined };
        },
        lasting.signal,
      );
      this.#state.value = { step: 'ended', job, error: undefined };
      noteChange();
      const failed = job.results.find(({ error }) => error !== null)?.error;
      const what = describeAction(action, images);
      // An open dialog shows it by itself.
      const told = {
        tone: failed ? 'bad' : 'good',
        text: failed ? `${what}: ${failed.message}` : `${what}: done`,
      } as const;
      if (openRun.value === this) announce(told.text);
      else tell(told);
    } catch (error) {
      this.#fail(error);
    }
  }

  close(): void {
    this.#closing.abort();
  }

  #wish(): ActionWish {
    const { images, digest } = this.plan;
    return { images: [...images], ...(digest !== undefined && { digest }) };
  }

  #fail(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    this.#state.value = { step: 'refused', job: undefined, error };
  }
}
