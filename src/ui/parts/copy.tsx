/** Texts that are meant to be copied: commands, files, digests. A browser without a clipboard (plain HTTP) gets them selected. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { announce } from '../state/announcer.ts';

interface CopyButtonProps {
  readonly text: string;
  /** Of what is copied, for screen readers: `the digest`. */
  readonly what: string;
  /** Selected where there is no clipboard. */
  readonly source: { readonly current: HTMLElement | null };
}

const shownMs = 1600;

export function CopyButton({ text, what, source }: CopyButtonProps) {
  const [done, setDone] = useState<'copied' | 'selected' | undefined>();
  useEffect(() => {
    if (done === undefined) return undefined;
    const timer = setTimeout(() => setDone(undefined), shownMs);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    const outcome = await copyText(text, source.current);
    setDone(outcome);
    announce(outcome === 'copied' ? `Copied ${what}` : `Selected ${what}, press Control C`);
  };
  return (
    <button type="button" class="copy" onClick={() => void copy()} aria-label={`Copy ${what}`}>
      {done === undefined ? 'Copy' : done === 'copied' ? 'Copied' : 'Selected'}
    </button>
  );
}

interface CodeBlockProps {
  readonly text: string;
  readonly what: string;
  /** Above the text: the path of a file, or where a command is run. */
  readonly caption?: string;
  readonly note?: string | undefined;
}

export function CodeBlock({ text, what, caption, note }: CodeBlockProps) {
  const source = useRef<HTMLElement>(null);
  return (
    <figure class="code">
      {caption !== undefined && (
        <figcaption>
          <code>{caption}</code>
          {note !== undefined && <span>{note}</span>}
        </figcaption>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and keyboards have to reach it */}
      <pre tabIndex={0}>
        <code ref={source}>{text.trimEnd()}</code>
      </pre>
      <CopyButton text={text} what={what} source={source} />
    </figure>
  );
}

interface DigestProps {
  readonly digest: string;
  readonly what: string;
}

/** Its beginning; the whole is copied, and shown when the pointer rests on it. */
export function DigestText({ digest, what }: DigestProps) {
  const source = useRef<HTMLElement>(null);
  return (
    <span class="digest">
      <code ref={source} title={digest}>
        {digest.replace(/^(\w+:\w{12})\w+$/, '$1…')}
      </code>
      <CopyButton text={digest} what={what} source={source} />
    </span>
  );
}

async function copyText(text: string, source: HTMLElement | null): Promise<'copied' | 'selected'> {
  // Undefined outside a secure context, whatever its type says.
  const clipboard: Clipboard | undefined = navigator.clipboard;
  try {
    if (clipboard === undefined) throw new DOMException('no clipboard', 'NotAllowedError');
    await clipboard.writeText(text);
    return 'copied';
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    if (source !== null) getSelection()?.selectAllChildren(source);
    return 'selected';
  }
}
