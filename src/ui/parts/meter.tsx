/** Shares as bars: how far a transfer is, what is left of a limit, what the disk holds. The figures stand beside them as text. */

interface MeterProps {
  /** 0 … 1; null: not known, as of a download whose size no source has told. */
  readonly share: number | null;
  readonly label: string;
  readonly tone?: 'accent' | 'warn' | 'bad';
}

/** A progress bar for what is under way. */
export function Progress({ share, label }: MeterProps) {
  const known = share === null ? {} : { value: Math.min(1, Math.max(0, share)) };
  return <progress class="progress" max={1} aria-label={label} {...known} />;
}

/** A level that may go both ways. */
export function Meter({ share, label, tone = 'accent' }: MeterProps) {
  const level = Math.min(1, Math.max(0, share ?? 0));
  return (
    <svg
      class={`meter meter-${tone}`}
      viewBox="0 0 100 6"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <rect class="meter-rest" width="100" height="6" />
      <rect class="meter-level" width={100 * level} height="6" />
    </svg>
  );
}

export interface BarPart {
  readonly name: string;
  readonly amount: number;
  /** The number of its shade: 1 is the strongest. */
  readonly shade: 1 | 2 | 3 | 4;
}

interface StackedBarProps {
  readonly parts: readonly BarPart[];
  readonly whole: number;
  readonly label: string;
}

export function StackedBar({ parts, whole, label }: StackedBarProps) {
  let at = 0;
  return (
    <svg class="stacked" viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label={label}>
      <rect class="meter-rest" width="1000" height="14" />
      {parts.map(({ name, amount, shade }) => {
        const x = at;
        // What is there is seen, however little of the whole it is.
        const width = whole > 0 && amount > 0 ? Math.min(1000 - x, Math.max(4, (1000 * amount) / whole)) : 0;
        at += width;
        return <rect key={name} class={`shade-${shade}`} x={x} width={Math.max(0, width - 1)} height="14" />;
      })}
    </svg>
  );
}
