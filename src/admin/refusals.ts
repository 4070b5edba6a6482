/** What the commands say when they can't: in words for whoever typed them. */
import { RegistryError } from '../oci/error.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import { StoreError } from '../store/store-error.ts';

export function notHeld(code: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN', what: string): RegistryError {
  return new RegistryError(code, { message: `${what} is not held` });
}

/** What a command has changed is on disk before it says so. Errors: UNAVAILABLE. */
export async function requireWritten(record: RepositoryRecord): Promise<void> {
  try {
    await record.requireWritten();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const message = `the record of ${record.name} could not be written: ${error.message}`;
    throw new RegistryError('UNAVAILABLE', { message, cause: error });
  }
}
