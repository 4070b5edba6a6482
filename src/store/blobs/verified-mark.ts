/**
 * When a held file was last verified, kept where the fstat of an open finds it: in its atime. A time that is ours ends in
 * exactly 0.625 s (binary fractions go through every layer unchanged); any other atime is somebody's reading, and says
 * nothing. Such a file counts from its birth, for it was verified when it was downloaded. So a foreign reader, a copy or a
 * file system with coarse times costs one more check, and never puts one off.
 */

const markMs = 625;

export interface FileTimes {
  /** Milliseconds since the epoch; 0: the file system doesn't know. */
  readonly atimeMs: number;
  readonly birthtimeMs: number;
}

/** Milliseconds since the epoch; 0: not known. */
export function verifiedMsOf({ atimeMs, birthtimeMs }: FileTimes): number {
  return atimeMs % 1000 === markMs ? Math.max(atimeMs, birthtimeMs) : birthtimeMs;
}

/** The atime that says so, in seconds as `utimes` takes them. */
export function markSeconds(verifiedMs: number): number {
  return Math.floor(verifiedMs / 1000) + markMs / 1000;
}
