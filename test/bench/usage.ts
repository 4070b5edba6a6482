/** What a server and its children have used, from /proc. Workers that end while it is measured are not counted. */
import { readFileSync } from 'node:fs';
import { memoryBytes } from '../support/process.ts';

/** Linux' USER_HZ: the unit of /proc/PID/stat. */
const ticksPerSecond = 100;

/** User and system time so far, of the process and its children. Seconds, in steps of 10 ms. */
export function cpuSeconds(pid: number): number {
  return sum(pid, one => {
    const fields = readFileSync(`/proc/${one}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  });
}

/** Resident memory now or at its peak, of the process and its children. MB. */
export function megabytes(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  return sum(pid, one => memoryBytes(one, field)) / 1e6;
}

function sum(pid: number, read: (pid: number) => number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return [pid, ...children.filter(child => child !== '').map(Number)].reduce(
    (all, one) => all + read(one),
    0,
  );
}
