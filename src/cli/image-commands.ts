/**
 * `cistern refresh|evict|pin|unpin IMAGE…`: one image after the other; after a failure the others still run. All names are
 * checked first.
 */
import type { Admin, EvictReport, PinReport, RefreshReport } from '../admin/admin.ts';
import { parseImage, parseImageOrBlob } from '../admin/image-name.ts';
import { formatBytes } from '../lib/format.ts';
import { isDigest } from '../oci/digest.ts';
import { type AdminOptions, withAdmin } from './admin-client.ts';
import { asCommandError, CommandError } from './command-line.ts';

export type ImageCommand = 'refresh' | 'evict' | 'pin' | 'unpin';

interface Done {
  readonly report: RefreshReport | EvictReport | PinReport;
  /** One line for the terminal, without its end. */
  readonly text: string;
  readonly isFailure: boolean;
}

/** Resolves with the exit code, the highest of all images. */
export function runImageCommand(
  command: ImageCommand,
  options: AdminOptions,
  images: readonly string[],
): Promise<number> {
  return withAdmin(options, {
    isChange: command !== 'refresh',
    check: hosts => {
      for (const image of images) {
        const parsed = command === 'evict' ? parseImageOrBlob(image, hosts) : parseImage(image, hosts);
        if (command === 'refresh' && typeof parsed === 'object' && isDigest(parsed.reference))
          throw new CommandError(
            `refresh needs a tag, because a digest never moves: ${image}`,
            'TAG_INVALID',
          );
      }
    },
    run: async (admin, signal) => {
      const reports: object[] = [];
      let code = 0;
      for (const image of images) {
        try {
          const done = await runOne(command, admin, image, signal);
          reports.push(done.report);
          if (options.json !== true) options.write(`${done.text}\n`);
          if (done.isFailure) code = Math.max(code, 1);
        } catch (error) {
          const known = asCommandError(error);
          if (known === undefined) throw error;
          reports.push({ image, error: { code: known.code, message: known.message } });
          options.writeError(`error: ${known.message}\n`);
          code = Math.max(code, known.exitCode);
        }
      }
      if (options.json === true) options.write(`${JSON.stringify({ images: reports }, null, 2)}\n`);
      return code;
    },
  });
}

async function runOne(
  command: ImageCommand,
  admin: Admin,
  image: string,
  signal: AbortSignal,
): Promise<Done> {
  if (command === 'refresh') {
    const report = await admin.refresh(image, signal);
    return { report, text: describeRefresh(report), isFailure: report.result === 'unknown' };
  }
  if (command === 'evict') {
    const report = await admin.evict(image, signal);
    return { report, text: describeEviction(report), isFailure: false };
  }
  const report = await admin[command](image, signal);
  return { report, text: describePin(command, report), isFailure: false };
}

function describeRefresh({ image, result, from, to, reason }: RefreshReport): string {
  switch (result) {
    case 'same':
      return `${image}: same, ${to}`;
    case 'moved':
      return `${image}: moved from ${from} to ${to}`;
    case 'gone':
      return `${image}: gone, ${reason ?? 'the upstream no longer has it'}; held: ${from}`;
    case 'unknown':
      return `${image}: not checked, ${reason ?? 'for an unknown reason'}; held: ${from}`;
  }
}

function describeEviction({ image, freedBytes, tags, manifests, blobs, kept }: EvictReport): string {
  const gone = [count(tags.length, 'tag'), count(manifests, 'manifest'), count(blobs, 'blob')].join(', ');
  const keptNote = kept === 0 ? '' : `; ${kept} kept: used by other images, pinned or downloading`;
  return `${image}: ${formatBytes(freedBytes)} freed (${gone}${keptNote})`;
}

function describePin(command: 'pin' | 'unpin', report: PinReport): string {
  const { image, changed, blobs, missingBlobs, heldBytes } = report;
  const missing = missingBlobs === 0 ? '' : `, ${missingBlobs} of them not held yet`;
  if (command === 'unpin') return `${image}: ${changed ? 'unpinned' : 'was not pinned'}`;
  return `${image}: ${changed ? 'pinned' : 'was pinned already'} (${count(blobs, 'blob')}${missing}, ${formatBytes(heldBytes)} held)`;
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
