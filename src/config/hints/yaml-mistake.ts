/**
 * A mistake in YAML, told to a reader who doesn't know YAML: what is wrong, what to write instead, and the line itself.
 * A line that may hold a password is shown without it.
 */

export interface YamlMistake {
  /** Of the parser: `BAD_INDENT` … */
  readonly code: string;
  readonly message: string;
  /** Counts from 1. */
  readonly line: number;
}

const longestLine = 120;
const keyPattern = /^\s*(?:- +)?["']?[\w.:/-]+["']?\s*:(?:\s|$)/;
const secretWord = /pass|secret|token|credential/i;

/** `line`: where the mistake was made; the parser often finds it later. */
export function describeYamlMistake(
  { code, message, line }: YamlMistake,
  text: string,
): { readonly line: number; readonly message: string } {
  const lines = text.split(/\r?\n/);
  const made = findLine(code, message, line, lines);
  const sentence = describe(code, message, lines[line - 1] ?? '');
  return { line: made, message: `${sentence}, in this line: ${showLine(lines, made - 1)}` };
}

function describe(code: string, message: string, line: string): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'the line begins with a tab; indent it with blanks';
    case 'MISSING_CHAR':
      return /["']quote/.test(message)
        ? 'a quotation mark opens here and is not closed'
        : 'a bracket, a brace or a comma is missing';
    case 'MULTILINE_IMPLICIT_KEY':
      return 'a key needs a colon and a blank after it, as in "key: value"';
    case 'BLOCK_AS_IMPLICIT_KEY':
      return hasTwoColons(line)
        ? 'a text with a colon in it needs quotes'
        : 'the line begins further to the right than the other keys of its section';
    case 'BAD_INDENT':
      return /^Flow/.test(message)
        ? 'a bracket [ or a brace { that opens here is not closed'
        : 'the line does not begin in the same column as the other keys of its section';
    case 'BAD_SCALAR_START':
      return 'a text that begins with such a character needs quotes';
    case 'BAD_DQ_ESCAPE':
      return 'a backslash in double quotes has a meaning of its own; use single quotes';
    case 'UNEXPECTED_TOKEN':
      return describeToken(message);
    default:
      return `not valid YAML (${message})`;
  }
}

function describeToken(message: string): string {
  if (message.includes('-end token')) return 'a closing bracket or brace has no opening one';
  if (message.startsWith('Block scalar')) return 'a text that begins with | or > needs quotes';
  if (message.includes('at node end'))
    return 'text follows after the end of a value; put all of it in quotes';
  return `not valid YAML (${message}); does a text need quotes?`;
}

function findLine(code: string, message: string, line: number, lines: readonly string[]): number {
  if (code === 'MISSING_CHAR') {
    const mark = /(["'])quote/.exec(message)?.[1];
    const opens = mark === undefined ? -1 : lines.findIndex(text => isOdd(text, mark));
    return opens === -1 ? nearest(line, lines) : opens + 1;
  }
  if (code === 'BAD_INDENT' && message.startsWith('Flow')) {
    const isOpen = /[[{]/;
    const opens = lines.slice(0, line - 1).findLastIndex(text => isOpen.test(text));
    return opens === -1 ? line : opens + 1;
  }
  if (code === 'BLOCK_AS_IMPLICIT_KEY' && !hasTwoColons(lines[line - 1] ?? '')) {
    const next = lines.findIndex((text, index) => index >= line && text.trim() !== '');
    return next === -1 ? line : next + 1;
  }
  return nearest(line, lines);
}

/** The last line with text at or above `line`: a mistake may be found at the end of the file. */
function nearest(line: number, lines: readonly string[]): number {
  const found = lines.slice(0, line).findLastIndex(text => text.trim() !== '');
  return found === -1 ? line : found + 1;
}

function hasTwoColons(line: string): boolean {
  return (line.match(/:\s/g) ?? []).length > 1;
}

/** Comments don't count. An escaped mark is none, nor is the one in "it's". */
function isOdd(line: string, mark: string): boolean {
  const plain = line.replace(/(?:^|\s)#.*$/, '').replaceAll(/\\"|(?<=\w)'(?=\w)/g, '');
  return plain.split(mark).length % 2 === 0;
}

function indentOf(line: string): number {
  return line.search(/\S|$/);
}

function showLine(lines: readonly string[], index: number): string {
  const line = lines[index] ?? '';
  const holder = lines.slice(0, index + 1).findLastIndex(text => keyPattern.test(text));
  const above = lines.slice(Math.max(holder, 0), index).join('\n');
  const parent = lines
    .slice(0, index)
    .findLast(text => text.trim() !== '' && indentOf(text) < indentOf(line));
  if (secretWord.test(`${above}\n${parent ?? ''}`)) return '***';
  const shown = line
    .replace(/((?:pass|secret|token|credential)\w*["']?\s*:?).*$/i, '$1 ***')
    .replace(/:\/\/.*@/, '://***@')
    .replaceAll('\t', '→')
    .replaceAll(/\p{Cc}/gu, '?');
  return shown.length > longestLine ? `${shown.slice(0, longestLine)}…` : shown;
}
