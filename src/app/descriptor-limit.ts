/**
 * How many connections the process may hold, from its limit of open files (`ulimit -n`). A client costs a socket, and its
 * answer a file or a socket to an upstream: half of the limit is for clients, so that the store always has descriptors.
 */
import { readFile } from 'node:fs/promises';

/** For the store's own files, Redis, the log and what Node itself opens. */
const reserved = 128;
const least = 16;
/** Where the limit can't be read: below the smallest common one, 1024. */
const fallbackLimit = 1024;

/** `configured`: 0 asks for the default. */
export async function maxConnectionsOf(configured: number): Promise<number> {
  return configured > 0 ? configured : connectionsWithin(await readDescriptorLimit());
}

export function connectionsWithin(descriptors: number): number {
  return Math.max(least, Math.floor((descriptors - reserved) / 2));
}

/** The soft limit; Infinity: none. */
async function readDescriptorLimit(): Promise<number> {
  let text: string;
  try {
    text = await readFile('/proc/self/limits', 'utf8');
  } catch {
    return fallbackLimit; // no Linux
  }
  const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(text) ?? [];
  if (soft === undefined) return fallbackLimit;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}
