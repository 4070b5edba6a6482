/** What each action is called, what it says before it is confirmed, and whether it can say first what it would do. */
import type { ActionName } from '../../http/api/schema/session.ts';
import { formatCounted } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';

export interface ActionWords {
  /** On the button that opens the question. */
  readonly label: string;
  /** On the button that confirms. */
  readonly verb: string;
  /** Under way: `Evicting`. */
  readonly running: string;
  readonly explanation: string;
  /** The server tells what would happen. */
  readonly hasPreview: boolean;
  /** Something goes. */
  readonly isGrave: boolean;
}

export const actionWords: Readonly<Record<ActionName, ActionWords>> = {
  warm: {
    label: 'Warm',
    verb: 'Warm',
    running: 'Warming',
    explanation:
      'Fetches what is missing from the upstream, within its pull limit, so that a pull needs no line.',
    hasPreview: false,
    isGrave: false,
  },
  pin: {
    label: 'Pin',
    verb: 'Pin',
    running: 'Pinning',
    explanation: 'Evictions leave its layers alone, however long they are not used.',
    hasPreview: false,
    isGrave: false,
  },
  unpin: {
    label: 'Unpin',
    verb: 'Unpin',
    running: 'Unpinning',
    explanation: 'Its layers may be evicted again when they are the least recently used ones.',
    hasPreview: false,
    isGrave: false,
  },
  evict: {
    label: 'Evict',
    verb: 'Evict',
    running: 'Evicting',
    explanation: 'Removes it from this mirror. The next pull fetches it from the upstream again.',
    hasPreview: true,
    isGrave: true,
  },
  delete: {
    label: 'Delete',
    verb: 'Delete',
    running: 'Deleting',
    explanation:
      'Removes it from the hosted repository. It exists nowhere else; hosted.undelete says how long it can be restored.',
    hasPreview: true,
    isGrave: true,
  },
  restore: {
    label: 'Restore',
    verb: 'Restore',
    running: 'Restoring',
    explanation: 'Moves the tag back to what it pointed to before. The move is kept in its history.',
    hasPreview: false,
    isGrave: false,
  },
  promote: {
    label: 'Promote',
    verb: 'Promote',
    running: 'Promoting',
    explanation:
      'Gives the image a name in a hosted repository. What is missing is fetched first; no byte is copied twice.',
    hasPreview: false,
    isGrave: false,
  },
  gc: {
    label: 'Collect',
    verb: 'Collect',
    running: 'Collecting',
    explanation:
      'Removes what no tag of the hosted repositories needs any longer, and what retention lets go.',
    hasPreview: true,
    isGrave: true,
  },
  scrub: {
    label: 'Scrub',
    verb: 'Start a scrub',
    running: 'Scrubbing',
    explanation:
      'Reads all that is held and compares it with its digests. Bad mirrored files are fetched again, bad hosted ones are reported.',
    hasPreview: false,
    isGrave: false,
  },
};

/** `Evict docker.io/library/alpine:3.20`, `Warm 12 images`. */
export function describeAction(action: ActionName, images: readonly string[]): string {
  const { label } = actionWords[action];
  if (images.length === 0) return label;
  const [image = ''] = images;
  return `${label} ${images.length === 1 ? shortName(image) : formatCounted(images.length, 'image')}`;
}
