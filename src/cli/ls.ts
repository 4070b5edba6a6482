/** `cistern ls [PATTERN]`: the held images, one a line. */
import type { ListedImage } from '../admin/admin.ts';
import { parseImagePattern } from '../admin/image-pattern.ts';
import { formatAgo, formatBytes, formatTable } from '../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from './admin-client.ts';

export type LsOrder = 'name' | 'used' | 'size';

export interface LsOptions extends AdminOptions {
  /** Left out: by name. */
  readonly order?: LsOrder;
}

/** Resolves with the exit code. `pattern`: as clients write images, with `*` and `**`. */
export function runLs(options: LsOptions, pattern: string | undefined, nowMs = Date.now()): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    check: hosts => {
      if (pattern !== undefined) parseImagePattern(pattern, hosts);
    },
    run: async (admin, signal) => {
      const { images: byName } = await admin.list(pattern, signal);
      const images = sortImages(byName, options.order ?? 'name');
      writeReport(options, { images }, () => render(images, nowMs));
      return 0;
    },
  });
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

/** `images` come by name, which stays the order of equals. What was never used comes last. */
function sortImages(images: readonly ListedImage[], order: LsOrder): readonly ListedImage[] {
  switch (order) {
    case 'name':
      return images;
    case 'size':
      return images.toSorted((one, other) => other.heldBytes - one.heldBytes);
    case 'used':
      return images.toSorted((one, other) => usedMs(other) - usedMs(one));
  }
}

function usedMs({ lastUsedAt }: ListedImage): number {
  return lastUsedAt === null ? 0 : Date.parse(lastUsedAt);
}
