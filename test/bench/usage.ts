/** What a server, its threads and its children have used, by the kernel's accounting in /proc. Children stay in it until they are waited for. */
import { readFileSync } from 'node:fs';
import { memoryBytes } from '../support/process.ts';

/** Linux' USER_HZ: the unit of /proc/PID/stat. */
const ticksPerSecond = 100;

/** User and system time so far, of the processes and their children. Seconds, in steps of 10 ms. */
export function cpuSeconds(pids: readonly number[]): number {
  return sum(pids, one => {
    const fields = readFileSync(`/proc/${one}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  });
}

/** Resident memory now or at its peak, of the processes and their children. MB. */
export function megabytes(pids: readonly number[], field: 'VmHWM' | 'VmRSS'): number {
  return sum(pids, one => memoryBytes(one, field)) / 1e6;
}

function sum(pids: readonly number[], read: (pid: number) => number): number {
  return pids.flatMap(pid => [pid, ...childrenOf(pid)]).reduce((all, one) => all + read(one), 0);
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}
