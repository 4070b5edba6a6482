/**
 * Times of day on this machine's clock, on which a day may have 23 or 25 hours. A time that the clock skips comes an hour later, one that
 * comes twice counts the first time; a window is what the clock shows.
 */

/** Minutes since midnight, local time. */
export type DayTime = number;

/** `to` is outside of it. `to` before `from`: it goes over midnight. */
export interface DayWindow {
  readonly from: DayTime;
  readonly to: DayTime;
}

/** What the clock shows then. Milliseconds since the epoch. */
export function dayTimeOf(ms: number): DayTime {
  const date = new Date(ms);
  return 60 * date.getHours() + date.getMinutes();
}

export function isWithin(time: DayTime, { from, to }: DayWindow): boolean {
  return from < to ? time >= from && time < to : time >= from || time < to;
}

/** The first moment after `afterMs` at which it is that time. Milliseconds since the epoch. */
export function nextTimeAfter(afterMs: number, time: DayTime): number {
  const day = new Date(afterMs);
  const [year, month, date] = [day.getFullYear(), day.getMonth(), day.getDate()];
  for (let ahead = 0; ; ahead += 1) {
    const ms = new Date(year, month, date + ahead, 0, time).getTime();
    if (ms > afterMs) return ms;
  }
}
