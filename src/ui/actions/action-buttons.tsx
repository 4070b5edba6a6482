/** Buttons that open an action's question. Those that the user may not use are not there; the server refuses them all the same. */
import type { Rights } from '../../http/api/schema/images.ts';
import type { ActionName } from '../../http/api/schema/session.ts';
import { isOffered } from '../state/session.ts';
import { type ActionPlan, ask } from './action-run.ts';
import { actionWords, describeAction } from './action-words.ts';

interface ActionButtonProps extends ActionPlan {
  readonly label?: string;
  readonly isSmall?: boolean;
  readonly isMain?: boolean;
}

export function ActionButton({ label, isSmall = false, isMain = false, ...plan }: ActionButtonProps) {
  const { action, images } = plan;
  const classes = ['button', isSmall ? 'button-small' : '', isMain ? 'button-main' : '']
    .filter(Boolean)
    .join(' ');
  return (
    <button
      type="button"
      class={classes}
      aria-label={describeAction(action, images)}
      onClick={() => ask(plan)}
    >
      {label ?? actionWords[action].label}
    </button>
  );
}

interface ImageActionsProps {
  readonly image: string;
  readonly isHosted: boolean;
  readonly isPinned: boolean;
  readonly may: Rights;
}

/** What can be done with one image: mirrored content is evicted, hosted content is deleted. */
export function ImageActions({ image, isHosted, isPinned, may }: ImageActionsProps) {
  const actions = listActions(isHosted, isPinned, may).filter(isOffered);
  if (actions.length === 0) return null;
  return (
    <fieldset class="buttons" aria-label="Actions">
      {actions.map(action => (
        <ActionButton key={action} action={action} images={[image]} />
      ))}
    </fieldset>
  );
}

/** All of them need `admin`: a push or a delete by a client is asked of the registry itself. */
function listActions(isHosted: boolean, isPinned: boolean, may: Rights): readonly ActionName[] {
  if (!may.admin) return [];
  const pin = isPinned ? 'unpin' : 'pin';
  return isHosted ? [pin, 'promote', 'delete'] : ['warm', pin, 'promote', 'evict'];
}
