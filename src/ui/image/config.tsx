/** The config of an image: what runs, with which environment, ports and labels. Empty parts are left out. */
import type { ComponentChildren } from 'preact';
import type { ImageConfig } from '../../http/api/schema/images.ts';
import { formatMoment } from '../text/figures.ts';

/** Nothing but its platform and layers is in it: there is nothing to show. */
export function isBareConfig({ createdAt, author, user, workingDir, ...lists }: ImageConfig): boolean {
  const texts = [createdAt, author, user, workingDir];
  return texts.every(text => text === null || text === '') && Object.values(lists).every(isEmptyList);
}

function isEmptyList(list: readonly string[] | Readonly<Record<string, string>>): boolean {
  return Object.keys(list).length === 0;
}

export function Config({ config }: { readonly config: ImageConfig }) {
  const { createdAt, author, user, workingDir, entrypoint, command, env, ports, volumes, labels } = config;
  return (
    <dl class="pairs config">
      <Line name="Entrypoint" texts={joined(entrypoint)} />
      <Line name="Command" texts={joined(command)} />
      <Line name="Working directory" texts={workingDir === null ? [] : [workingDir]} />
      <Line name="User" texts={user === null || user === '' ? [] : [user]} />
      <Line name="Ports" texts={ports} />
      <Line name="Volumes" texts={volumes} />
      {createdAt !== null && <Item name="Created">{formatMoment(createdAt)}</Item>}
      {author !== null && author !== '' && <Item name="Author">{author}</Item>}
      <Line name="Environment" texts={env} isWide />
      <Line name="Labels" texts={Object.entries(labels).map(([key, text]) => `${key}=${text}`)} isWide />
    </dl>
  );
}

interface LineProps {
  readonly name: string;
  readonly texts: readonly string[];
  readonly isWide?: boolean;
}

function Line({ name, texts, isWide = false }: LineProps) {
  if (texts.length === 0) return null;
  return (
    <Item name={name} isWide={isWide}>
      {texts.map(text => (
        <code key={text} class="wrap line">
          {text}
        </code>
      ))}
    </Item>
  );
}

interface ItemProps {
  readonly name: string;
  readonly isWide?: boolean;
  readonly children: ComponentChildren;
}

function Item({ name, isWide = false, children }: ItemProps) {
  return (
    <div class={isWide ? 'wide' : undefined}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** As a shell would take it: words with blanks in quotes. */
function joined(words: readonly string[]): readonly string[] {
  return words.length === 0
    ? []
    : [words.map(word => (/^[\w./:=@%+,-]+$/.test(word) ? word : JSON.stringify(word))).join(' ')];
}
