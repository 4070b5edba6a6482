/**
 * `WWW-Authenticate` (RFC 9110 11.6.1) and the scopes that its Bearer challenges name. Several challenges may share one header, separated
 * by the same commas as their parameters. A part that can't be parsed ends its header; the challenges before it count.
 */
import { formatQuoted, scanQuoted } from './header-fields.ts';
import type { Repository } from './name.ts';

export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case; the first of two equal ones counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /[!#$%&'*+.^`|~\w-]+/y;
const blanksAndCommas = /[\s,]*/y;
const equals = /[ \t]*=[ \t]*/y;
/** A value without quotes: laxer than a token, because some registries don't quote their realm. */
const bareValue = /[^\s,"=][^\s,"]*/y;
/** `Negotiate YII=`: credentials instead of parameters, of no use here. */
const token68 = /[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/y;

export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  if (header === undefined) return [];
  return typeof header === 'string' ? parseHeader(header) : header.flatMap(parseHeader);
}

/** The scope that a pull needs (the distribution project's token specification). It may be asked for before any challenge. */
export function pullScope(repository: Repository): string {
  return `repository:${repository}:pull`;
}

const maxScopes = 16;

/**
 * The scopes that a challenge asks for, each cut down to `pull`: a mirror never needs a token that may do more. Undefined
 * when none of them is about pulling.
 */
export function pullScopesOf(scope: string | undefined): readonly string[] | undefined {
  const pulls = (scope ?? '').split(/\s+/).flatMap(part => {
    const [, subject, actions] = /^([^:]+:.+):([^:]+)$/.exec(part) ?? [];
    const isPull = actions?.split(',').some(action => action === 'pull' || action === '*');
    return subject !== undefined && isPull === true ? [`${subject}:pull`] : [];
  });
  const distinct = [...new Set(pulls)].slice(0, maxScopes);
  return distinct.length === 0 ? undefined : distinct;
}

/** The value of one challenge; every parameter quoted (distribution's token specification does so). */
export function formatChallenge(challenge: Challenge): string {
  const scheme = challenge.scheme.charAt(0).toUpperCase() + challenge.scheme.slice(1);
  const parameters = Array.from(challenge.parameters, ([name, value]) => `${name}=${formatQuoted(value)}`);
  return parameters.length === 0 ? scheme : `${scheme} ${parameters.join(',')}`;
}

function parseHeader(text: string): Challenge[] {
  const challenges: Challenge[] = [];
  let parameters: Map<string, string> | undefined;
  let at = 0;
  for (;;) {
    at = endOf(blanksAndCommas, text, at) ?? at;
    const wordEnd = endOf(token, text, at);
    if (wordEnd === undefined) return challenges;
    const word = text.slice(at, wordEnd).toLowerCase();
    const valueAt = endOf(equals, text, wordEnd);
    if (valueAt === undefined) {
      parameters = new Map();
      challenges.push({ scheme: word, parameters });
      at = endOf(token68, text, wordEnd) ?? wordEnd;
      continue;
    }
    const quoted = scanQuoted(text, valueAt);
    const bareEnd = endOf(bareValue, text, valueAt);
    if (parameters === undefined || (quoted === undefined && text[valueAt] === '"')) return challenges;
    const value = quoted?.value ?? text.slice(valueAt, bareEnd ?? valueAt);
    if ((quoted ?? bareEnd) !== undefined && !parameters.has(word)) parameters.set(word, value);
    at = quoted?.end ?? bareEnd ?? valueAt;
  }
}

/** Where a sticky pattern that matches at `at` ends. */
function endOf(pattern: RegExp, text: string, at: number): number | undefined {
  const sticky = new RegExp(pattern); // `lastIndex` is state: not on a shared object
  sticky.lastIndex = at;
  return sticky.test(text) ? sticky.lastIndex : undefined;
}
