/**
 * Variables of the environment that look like settings and are none: what each of them probably means. Kubernetes puts
 * `CISTERN_PORT=tcp://…` and the like into every pod, so these only warn.
 */
import { editDistance, nearestWord } from '../suggestion.ts';

const prefix = 'CISTERN_';
const mostHints = 3;

/** A message for a variable that begins with `CISTERN_` and is no setting. */
export function describeStray(variable: string, text: string, settings: readonly string[]): string {
  if (variable.endsWith('_PORT') && /^\d+$/.test(text))
    return `ignored, not a setting; did you mean CISTERN_HTTP_LISTEN=:${text}?`;
  const rest = variable.slice(prefix.length);
  const nearest = nearestWord(
    rest,
    settings.map(name => name.slice(prefix.length)), // what all of them share would count as alike
  );
  const hints =
    nearest !== undefined
      ? [`${prefix}${nearest}`]
      : settings.filter(name => name.endsWith(`_${rest}`) || name.startsWith(`${variable}_`));
  if (hints.length === 0) return 'ignored, not a setting';
  return `ignored, not a setting; did you mean ${hints.slice(0, mostHints).join(' or ')}?`;
}

/** As `describeStray`, for a variable with another beginning; undefined when it has nothing to do with us. */
export function describeMisspelled(variable: string, settings: readonly string[]): string | undefined {
  const [first = ''] = variable.split('_', 1);
  const rest = variable.slice(first.length + 1);
  const distance = editDistance(first.toUpperCase(), 'CISTERN');
  if (rest === '' || distance > 2) return undefined;
  const meant = `${prefix}${rest.toUpperCase()}`;
  const name = settings.includes(meant) ? meant : distance === 0 ? nearestWord(meant, settings) : undefined;
  return name === undefined ? undefined : `ignored; the setting is called ${name}`;
}
