/**
 * `cistern import FILE|-`: what `cistern export` and other tools put into a tar, into the store. Run again after a cut, it brings what is
 * not here yet.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { BundleReport } from '../../admin/bundle-admin.ts';
import { formatBytes } from '../../lib/format.ts';
import type { OnProgress } from '../../telemetry/progress.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';
import { CommandError } from '../command-line.ts';
import { withProgress } from '../terminal/progress-reporter.ts';

export interface ImportBundleCommand extends AdminOptions {
  /** `-`: `stdin`. */
  readonly bundle: string;
  readonly stdin: AsyncIterable<Buffer> & { readonly isTTY?: boolean };
  readonly signal: AbortSignal;
}

const readBytes = 256 * 1024;

/** Resolves with the exit code. */
export function runImportBundle(command: ImportBundleCommand): Promise<number> {
  const { bundle, stdin, signal, writeError } = command;
  const done = withAdmin(command, {
    isChange: true,
    makesStore: true,
    check: () => {
      if (bundle === '-' && stdin.isTTY === true)
        throw new CommandError(
          'standard input is a terminal: name a file, or send a bundle into it',
          'NAME_INVALID',
        );
    },
    run: async admin => {
      const { bytes, total } = bundle === '-' ? { bytes: stdin, total: undefined } : await openFile(command);
      const report = await withProgress(command, 'importing', onProgress =>
        admin.bundles.importBundle(counted(bytes, total, onProgress), signal),
      );
      writeReport(command, report, formatReport);
      return 0;
    },
  });
  return done.catch((error: unknown) => {
    if (!signal.aborted) throw error;
    writeError('stopped: what came is kept, and the same command brings the rest\n');
    return 1;
  });
}

async function openFile({ bundle, cwd }: ImportBundleCommand) {
  const handle = await open(resolve(cwd, bundle));
  const found = await handle.stat();
  const bytes: AsyncIterable<Buffer> = createReadStream('', { fd: handle, highWaterMark: readBytes });
  return { bytes, total: found.isFile() ? found.size : undefined };
}

async function* counted(
  source: AsyncIterable<Buffer>,
  total: number | undefined,
  onProgress: OnProgress | undefined,
): AsyncGenerator<Buffer, void, void> {
  let done = 0;
  for await (const chunk of source) {
    yield chunk;
    done += chunk.length;
    onProgress?.({ done, unit: 'bytes', ...(total !== undefined && { total }) });
  }
}

function formatReport({ images, blobs, bytes, unrelated }: BundleReport): string {
  const lines = images.map(({ image, digest, result, reason, referrers }) => {
    const what = result === 'present' ? 'here already' : result;
    const more = referrers === 0 ? '' : `, with ${referrers} ${referrers === 1 ? 'referrer' : 'referrers'}`;
    return `${image}: ${what}, ${digest}${more}${reason === null ? '' : `: ${reason}`}`;
  });
  if (unrelated.length > 0)
    lines.push(`not imported, because no image has to do with them: ${unrelated.join(', ')}`);
  lines.push(`blobs: ${blobs.imported} new (${formatBytes(bytes)}), ${blobs.present} here already`);
  return `${lines.join('\n')}\n`;
}
