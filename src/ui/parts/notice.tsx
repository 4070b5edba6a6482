/** A sentence that stands out: a warning with what to do, an error, or a remark. The tone is a word too, and not only a colour. */
import type { ComponentChildren } from 'preact';

export type Tone = 'note' | 'good' | 'warn' | 'bad';

interface NoticeProps {
  readonly tone: Tone;
  readonly title: string;
  readonly children?: ComponentChildren;
}

const signs: Readonly<Record<Tone, string>> = { note: 'i', good: '✓', warn: '!', bad: '×' };
const words: Readonly<Record<Tone, string>> = { note: 'Note', good: 'Done', warn: 'Warning', bad: 'Error' };

export function Notice({ tone, title, children }: NoticeProps) {
  return (
    <div class={`notice notice-${tone}`}>
      <span class="notice-sign" aria-hidden="true">
        {signs[tone]}
      </span>
      <div>
        <p class="notice-title">
          <span class="visually-hidden">{words[tone]}: </span>
          {title}
        </p>
        {children !== undefined && <div class="notice-text">{children}</div>}
      </div>
    </div>
  );
}

interface StateProps {
  readonly tone: Tone | 'quiet';
  readonly children: ComponentChildren;
}

/** A state in a table: a dot and a word. */
export function State({ tone, children }: StateProps) {
  return <span class={`state state-${tone}`}>{children}</span>;
}

interface MarkProps {
  readonly children: ComponentChildren;
  readonly title?: string;
  readonly tone?: 'accent' | 'warn' | 'plain';
}

/** A short word about an image: pinned, stale, hosted. */
export function Mark({ children, title, tone = 'plain' }: MarkProps) {
  return (
    <span class={`mark mark-${tone}`} title={title}>
      {children}
    </span>
  );
}
