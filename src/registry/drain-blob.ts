/** Reads a blob as a client pulls it and drops its bytes, so that the cache keeps it by its own rules. */
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import { operatorCaller } from './caller.ts';
import type { RegistryReader } from './registry.ts';

const drainBytes = 256 * 1024;

/** Resolves at its end, which is not yet in the store then. Errors: those of `blob`, of its reader, and the signal's reason. */
export async function drainBlob(
  registry: Pick<RegistryReader, 'blob'>,
  repository: Repository,
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  const answer = await registry.blob(repository, digest, undefined, { signal, caller: operatorCaller });
  const { reader } = answer;
  try {
    const into = Buffer.allocUnsafe(Math.min(reader.preferredBytes, drainBytes));
    for (let at = answer.start; ; ) {
      signal.throwIfAborted();
      const count = await reader.read(into, at);
      if (count === 0) return;
      at += count;
    }
  } finally {
    await reader.close();
  }
}
