/**
 * The stream of server-sent events, as signals: one connection for the whole page, opened when something is shown that
 * follows it. The browser connects again by itself; until then the last sample stays, and the page says that it is old.
 */
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { JobAnswer } from '../../http/api/schema/actions.ts';
import type { SampleEvent } from '../../http/api/schema/transfers.ts';
import { apiRoot } from './api.ts';

export type LiveState = 'off' | 'connecting' | 'live' | 'lost';

export const liveState = signal<LiveState>('off');
export const sample = signal<SampleEvent | undefined>(undefined);
/** The latest word of each job that this page has heard of; only those that it began are kept by it. */
export const jobUpdates = signal<ReadonlyMap<string, JobAnswer>>(new Map());

/** Jobs are small, and one page begins few. */
const maxJobs = 50;
const againMs = 5000;

class Live {
  #source: EventSource | undefined;
  #users = 0;
  #again: ReturnType<typeof setTimeout> | undefined;

  join(): () => void {
    this.#users += 1;
    if (this.#users === 1) this.#open();
    return () => {
      this.#users -= 1;
      if (this.#users === 0) this.#close();
    };
  }

  /** After a log in or out: the stream tells each user what that user may see. */
  reopen(): void {
    if (this.#users === 0) return;
    this.#close();
    this.#open();
  }

  #open(): void {
    const source = new EventSource(`${apiRoot}events`);
    this.#source = source;
    liveState.value = 'connecting';
    source.addEventListener('open', () => {
      liveState.value = 'live';
    });
    source.addEventListener('error', () => {
      liveState.value = 'lost';
      // After an answer that is no stream, as of a proxy, the browser does not connect again by itself.
      if (source.readyState === EventSource.CLOSED) this.#again = setTimeout(() => this.reopen(), againMs);
    });
    source.addEventListener('sample', ({ data }: MessageEvent<string>) => {
      liveState.value = 'live';
      sample.value = JSON.parse(data);
    });
    source.addEventListener('job', ({ data }: MessageEvent<string>) => noteJob(JSON.parse(data)));
  }

  #close(): void {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = undefined;
    sample.value = undefined;
    liveState.value = 'off';
  }
}

const live = new Live();

/** For the life of the component that calls it. */
export function useLive(): void {
  useEffect(() => live.join(), []);
}

export function reopenLive(): void {
  live.reopen();
}

export function noteJob(job: JobAnswer): void {
  const known = [...jobUpdates.value].filter(([id]) => id !== job.id).slice(1 - maxJobs);
  jobUpdates.value = new Map([...known, [job.id, job]]);
}
