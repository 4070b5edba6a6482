/**
 * Lines of the log as text for people: `2026-01-31T12:00:00.000Z INFO  message key=value key="two words"`. Whatever the values hold, a line is
 * one physical line, and no control character reaches a terminal.
 */

const colours: ReadonlyMap<string, number> = new Map([
  ['debug', 90],
  ['info', 32],
  ['warn', 33],
  ['error', 31],
]);
/** Bright black, for times and names of fields. */
const quiet = 90;

/** Made from the JSON line, so both formats say the same. */
export function formatTextLine(jsonLine: string, colour = false): string {
  const paint = (code: number | undefined, text: string): string =>
    colour && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text;
  const { time, level, msg, ...fields } = parseObject(jsonLine);
  const name = paint(colours.get(String(level)), String(level).toUpperCase().padEnd(5));
  const head = `${paint(quiet, String(time))} ${name} ${oneLine(String(msg))}`;
  const pairs = Object.entries(fields).map(
    ([key, value]) => `${paint(quiet, `${key}=`)}${formatValue(value)}`,
  );
  return `${[head, ...pairs].join(' ')}\n`;
}

function parseObject(jsonLine: string): Record<string, unknown> {
  const value: unknown = JSON.parse(jsonLine);
  return typeof value === 'object' && value !== null ? { ...value } : { msg: value };
}

function formatValue(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"'=\\\p{C}]+$/u.test(value)) return value;
  return oneLine(JSON.stringify(value) ?? 'undefined');
}

/** Control characters could forge a line or control the reader's terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, character => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}`;
  });
}
