/** The two levels of every view: its head, and sections with their name on the left and the content on the right. */
import type { ComponentChildren } from 'preact';

interface PageHeadProps {
  readonly title: string;
  readonly lead?: ComponentChildren;
  /** Buttons about the whole view. */
  readonly children?: ComponentChildren;
}

/** The focus goes to the heading when a view opens, so that screen readers say where one is. */
export function PageHead({ title, lead, children }: PageHeadProps) {
  return (
    <header class="page-head">
      <div>
        <h1 id="view-title" tabIndex={-1}>
          {title}
        </h1>
        {lead !== undefined && <p class="lead">{lead}</p>}
      </div>
      {children}
    </header>
  );
}

interface SectionProps {
  readonly title: string;
  readonly note?: ComponentChildren;
  readonly id?: string;
  readonly children: ComponentChildren;
}

export function Section({ title, note, id, children }: SectionProps) {
  const headingId = `${id ?? title.toLowerCase().replaceAll(/[^a-z]+/g, '-')}-heading`;
  return (
    <section class="section" aria-labelledby={headingId}>
      <header>
        <h2 id={headingId}>{title}</h2>
        {note !== undefined && <p>{note}</p>}
      </header>
      <div>{children}</div>
    </section>
  );
}
