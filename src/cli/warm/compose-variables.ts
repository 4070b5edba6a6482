/** Variables in Compose files: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?error}`, `${NAME:+instead}`, `$$`, and the `.env` file. */
import { CommandError } from '../command-line.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** `place` names the value in an error. Errors: `CommandError`. */
export function interpolate(text: string, variables: Variables, place: string): string {
  let result = '';
  for (let at = 0; at < text.length; ) {
    const dollar = text.indexOf('$', at);
    if (dollar === -1) return result + text.slice(at);
    result += text.slice(at, dollar);
    const rest = text.slice(dollar + 1);
    const [name] = /^[A-Za-z_]\w*/.exec(rest) ?? [];
    if (rest.startsWith('$')) {
      result += '$';
      at = dollar + 2;
    } else if (name !== undefined) {
      result += variables[name] ?? '';
      at = dollar + 1 + name.length;
    } else if (rest.startsWith('{')) {
      const end = endOfBraces(rest);
      if (end === undefined) throw malformed(text, place);
      result += expand(rest.slice(1, end), variables, place);
      at = dollar + 2 + end;
    } else throw malformed(text, place);
  }
  return result;
}

/** Lines of `KEY=VALUE`, quoted or not; others are no variables. */
export function parseDotEnv(text: string): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, value = ''] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? [];
    if (name === undefined) continue;
    const [, , quoted] = /^(["'])(.*?)\1/.exec(value) ?? [];
    variables[name] = quoted ?? value.replace(/(?:^|\s)#.*$/, '').trimEnd();
  }
  return variables;
}

/** `NAME`, an operator, and a word that may have variables of its own. */
function expand(inner: string, variables: Variables, place: string): string {
  const [, name, operator = '', word = ''] = /^([A-Za-z_]\w*)(?:(:?[-?+])([\s\S]*))?$/.exec(inner) ?? [];
  if (name === undefined) throw malformed(`\${${inner}}`, place);
  const value = variables[name];
  const isGiven = operator.startsWith(':') ? value !== undefined && value !== '' : value !== undefined;
  switch (operator.at(-1)) {
    case '-':
      return isGiven ? (value ?? '') : interpolate(word, variables, place);
    case '+':
      return isGiven ? interpolate(word, variables, place) : '';
    case '?':
      if (isGiven) return value ?? '';
      throw new CommandError(`${place}: ${name} is not set${word === '' ? '' : `: ${word}`}`, 'NAME_INVALID');
    default:
      return value ?? '';
  }
}

/** Of the brace that the text begins with. */
function endOfBraces(text: string): number | undefined {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1;
    if (text[at] === '}') depth -= 1;
    if (depth === 0) return at;
  }
  return undefined;
}

function malformed(text: string, place: string): CommandError {
  return new CommandError(
    `${place}: expected a variable such as \${TAG:-latest}, got ${text}`,
    'NAME_INVALID',
  );
}
