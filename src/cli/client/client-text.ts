/** A client's set-up as text: for people, each path as a comment above its file; for programs, JSON. */
import type { ClientFile, ClientSetup } from './client-setup.ts';

/** What became of a file with `--write`. */
export interface WrittenFile {
  readonly path: string;
  /** `refused`: it was left as it is. */
  readonly outcome: 'written' | 'unchanged' | 'refused';
  /** Why it was refused. */
  readonly reason?: string;
}

/** `url`: of the mirror. */
export function formatSetup(client: string, url: string, setup: ClientSetup): string {
  return [`# ${client}, through ${url}\n`, ...setup.files.map(formatFile), ...formatRest(setup)].join('\n');
}

/** After `--write`: what was done instead of what to do. */
export function formatWritten(files: readonly WrittenFile[], setup: ClientSetup): string {
  const done = files.map(({ path, outcome, reason }) =>
    reason === undefined ? `${outcome} ${path}` : `${outcome} ${path}: ${reason}`,
  );
  return [formatLines(done), ...formatRest(setup)].join('\n');
}

/** `client`, `files`, `then` (commands), `notes`; and `written` after `--write`. */
export function formatSetupJson(
  client: string,
  { files, commands, notes }: ClientSetup,
  written?: readonly WrittenFile[],
): string {
  const entries: [string, unknown][] = [
    ['client', client],
    ['files', files.map(({ path, content, mode }) => ({ path, content, mode }))],
    ['then', commands],
    ['notes', notes],
    ...(written === undefined ? [] : [['written', written] satisfies [string, unknown]]),
  ];
  return `${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`;
}

function formatFile({ path, content, mode }: ClientFile): string {
  return `# ${path}${mode === 'merge' ? ' (with what it may hold already)' : ''}\n${content}`;
}

function formatRest({ commands, notes }: ClientSetup): string[] {
  return [
    ...(commands.length === 0 ? [] : [`# then\n${formatLines(commands)}`]),
    ...(notes.length === 0 ? [] : [formatLines(notes.map(note => `# - ${note}`))]),
  ];
}

function formatLines(texts: readonly string[]): string {
  return texts.map(text => `${text}\n`).join('');
}
