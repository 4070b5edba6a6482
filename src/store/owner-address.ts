/**
 * Where the owner of a store listens: DATA/owner.sock. A socket's path may have some hundred bytes only, so a longer one
 * is reached through a descriptor of the folder, which stays open for as long as the address is used.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';

const maxSocketPath = 100;

export interface OwnerAddress {
  /** For `listen` and `connect`. */
  readonly path: string;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Errors: system errors of a folder that can't be opened. */
export async function openOwnerAddress(dataPath: string): Promise<OwnerAddress> {
  const path = join(dataPath, 'owner.sock');
  if (Buffer.byteLength(path) <= maxSocketPath) return { path, close: () => Promise.resolve() };
  const folder: FileHandle = await open(dataPath, 'r');
  let closing: Promise<void> | undefined;
  return {
    path: `/proc/self/fd/${folder.fd}/owner.sock`,
    close: () => {
      closing ??= folder.close();
      return closing;
    },
  };
}
