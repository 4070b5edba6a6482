/** What makes lists old: an action of this page, or another user at it. Also the time that ages are counted from. */
import { signal } from '@preact/signals';
import { sessionChanges } from './session.ts';

const contentChanges = signal(0);
const tickMs = 15_000;

/** Milliseconds since the epoch; moves on every now and then, so that ages stay true on a page that is left open. */
export const now = signal(Date.now());

export function noteChange(): void {
  contentChanges.value += 1;
}

/** Grows with each change. A component that reads it is drawn anew. */
export function countChanges(): number {
  return contentChanges.value + sessionChanges.value;
}

/** To be called once. */
export function startClock(): void {
  setInterval(() => {
    now.value = Date.now();
  }, tickMs);
}
