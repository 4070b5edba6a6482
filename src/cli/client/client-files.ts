/**
 * The files of a client's set-up: printed as text or JSON, or written below a folder. Content that exists is never lost: a JSON
 * file gets the settings added, a file that says the same is left alone, and any other one is refused with what it lacks.
 */
import { mkdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { ClientFile, ClientSetup } from '../../clients/client-setup.ts';

/** A file after `--write`. */
export interface WrittenFile {
  readonly path: string;
  /** `refused`: it was left as it is. */
  readonly outcome: 'written' | 'unchanged' | 'refused';
  /** Why it was refused. */
  readonly reason?: string;
}

/** Each path as a comment above its file. `url`: of the mirror. */
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

/** Goes on after a refusal. Errors: those of the file system, with the path in them. */
export async function writeClientFiles(folder: string, files: readonly ClientFile[]): Promise<WrittenFile[]> {
  const written: WrittenFile[] = [];
  for (const file of files) written.push(await writeOne(join(folder, file.path), file));
  return written;
}

function formatFile({ path, content, mode }: ClientFile): string {
  return `# ${path}${mode === 'merge' ? ' (merge into existing content)' : ''}\n${content}`;
}

function formatRest({ files, commands, notes }: ClientSetup): string[] {
  const heading = files.length === 0 ? '# use it so' : '# then';
  return [
    ...(commands.length === 0 ? [] : [`${heading}\n${formatLines(commands)}`]),
    ...(notes.length === 0 ? [] : [formatLines(notes.map(note => `# - ${note}`))]),
  ];
}

function formatLines(texts: readonly string[]): string {
  return texts.map(text => `${text}\n`).join('');
}

async function writeOne(path: string, file: ClientFile): Promise<WrittenFile> {
  const present = await readIfThere(path);
  if (present === undefined) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, file.content, { flag: 'wx' });
    return { path, outcome: 'written' };
  }
  if ([file.content, ...(file.alternatives ?? [])].some(text => holdsLines(present, text)))
    return { path, outcome: 'unchanged' };
  const merged = path.endsWith('.json') ? mergeJson(present, file.content) : undefined;
  if (merged === undefined) {
    const lacks = file.content.trimEnd().replaceAll(/^/gm, '    ');
    return { path, outcome: 'refused', reason: `it has other content; add this by hand:\n${lacks}` };
  }
  if (merged === present) return { path, outcome: 'unchanged' };
  await replaceFile(await realpath(path), merged);
  return { path, outcome: 'written' };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether all lines of `wanted` stand in `text`, in this order; indentation and what stands between them don't count. */
function holdsLines(text: string, wanted: string): boolean {
  const rest = text.split('\n').map(line => line.trim());
  return wanted
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
    .every(line => {
      const at = rest.indexOf(line);
      rest.splice(0, at + 1);
      return at >= 0;
    });
}

/**
 * `text` with the lists of `added` made longer by what they lack; `text` itself if they lack nothing. Undefined: one of
 * them isn't an object, or has something else where a list belongs.
 */
function mergeJson(text: string, added: string): string | undefined {
  const present = parseObject(text);
  const wanted = parseObject(added);
  if (present === undefined || wanted === undefined) return undefined;
  const merged = { ...present };
  for (const [key, list] of Object.entries(wanted)) {
    const old = present[key] ?? [];
    if (!Array.isArray(old) || !Array.isArray(list)) return undefined;
    merged[key] = [...new Set([...old, ...list])];
  }
  if (isDeepStrictEqual(merged, present)) return text;
  return `${JSON.stringify(merged, undefined, /^\{\s*?\n([ \t]+)/.exec(text)?.[1] ?? '  ')}\n`;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = text.trim() === '' ? {} : JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined; // not JSON: refused
  }
}

/** Never leaves half a file. Owner and mode become those of a new file. */
async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.cistern-${process.pid}`;
  try {
    await writeFile(temporary, content, { flag: 'wx' });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
