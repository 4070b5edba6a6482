/** `cistern ls [PATTERN]`: the held images, one a line. */
import type { ListedImage } from '../admin/admin.ts';
import { formatAgo, formatBytes, formatTable } from '../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from './admin-client.ts';
import { CommandError } from './command-line.ts';

/** Resolves with the exit code. `pattern`: over canonical names, as in the configuration. */
export function runLs(
  options: AdminOptions,
  pattern: string | undefined,
  nowMs = Date.now(),
): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    check: () => {
      if (pattern !== undefined) requirePattern(pattern);
    },
    run: async (admin, signal) => {
      const { images } = await admin.list(pattern, signal);
      writeReport(options, { images }, () => render(images, nowMs));
      return 0;
    },
  });
}

/** Any other character could match no name. */
function requirePattern(pattern: string): void {
  if (/^[a-z0-9._:/*-]+$/.test(pattern)) return;
  const message = `expected a pattern over names like docker.io/library/alpine, such as docker.io/**, got ${JSON.stringify(pattern)}`;
  throw new CommandError(message, 'NAME_INVALID');
}

function render(images: readonly ListedImage[], nowMs: number): string {
  if (images.length === 0) return 'nothing is held\n';
  const rows = images.map(image => [
    image.tag === null ? image.repository : `${image.repository}:${image.tag}`,
    image.digest.slice(0, 'sha256:'.length + 12),
    describeSize(image),
    image.complete ? 'complete' : 'partial',
    formatAgo(image.checkedAt, nowMs),
    formatAgo(image.lastUsedAt, nowMs),
    image.pinned ? 'pinned' : '',
  ]);
  return formatTable([['IMAGE', 'DIGEST', 'SIZE', 'HELD', 'CHECKED', 'USED', ''], ...rows], [2]);
}

function describeSize({ heldBytes, neededBytes }: ListedImage): string {
  const held = formatBytes(heldBytes);
  return heldBytes === neededBytes ? held : `${held} of ${formatBytes(neededBytes)}`;
}
