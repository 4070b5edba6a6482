/** The walk over the folders of the records, once after the start: which repositories there are, their bytes, and when each was last used. */
import { lstat, readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { guardDisk, ignoreMissing, type StoreObserver } from '../store-error.ts';
import { isListFile } from './list-files.ts';
import type { FoundRecord } from './record-table.ts';

/** Repositories with a record or with lists, in no order. Errors: `StoreError` scan for a folder that can't be read. */
export async function* findRecords(
  root: string,
  observer: StoreObserver,
): AsyncGenerator<FoundRecord & { readonly name: string }> {
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const path = folder;
    const entries = await guardDisk(observer, 'scan', () =>
      readdir(path, { withFileTypes: true }).catch(ignoreMissing),
    );
    const sum = { recordBytes: 0, listBytes: 0, lastUseMs: 0 };
    for (const entry of entries ?? []) {
      const isRecord = entry.name === '_record';
      if (entry.isDirectory()) folders.push(join(path, entry.name));
      if (entry.isDirectory() || (!isRecord && !isListFile(entry.name))) continue;
      const file = await guardDisk(observer, 'scan', () =>
        lstat(join(path, entry.name)).catch(ignoreMissing),
      );
      if (file === undefined) continue;
      sum[isRecord ? 'recordBytes' : 'listBytes'] += Math.max(file.size, isRecord ? 1 : 0);
      sum.lastUseMs = Math.max(sum.lastUseMs, file.mtimeMs);
    }
    if (sum.recordBytes + sum.listBytes > 0)
      yield { name: relative(root, path).split(sep).join('/'), ...sum };
  }
}
