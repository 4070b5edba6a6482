/** Bytes of partials on disk, for a store that no daemon has: its own books are in the daemon's memory. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoreLayout } from '../layout.ts';
import { isMissing } from '../store-error.ts';

/** Errors: system errors of a folder that can't be read. */
export async function sumPartials(layout: StoreLayout): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(layout.ingestFolder)) {
    if (layout.parseIngestName(name).kind !== 'part') continue;
    bytes += await stat(join(layout.ingestFolder, name)).then(
      found => found.size,
      error => {
        if (isMissing(error)) return 0;
        throw error;
      },
    );
  }
  return bytes;
}
