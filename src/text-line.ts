/**
 * A log line for people: `2026-01-31T12:00:00.000Z INFO  message key=value key="two words"`, one physical line whatever
 * the values hold. It reads the JSON line that pino made, so both formats say the same.
 */

export function formatTextLine(jsonLine: string): string {
  const { time, level, msg, ...fields } = parseObject(jsonLine);
  const head = `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${oneLine(String(msg))}`;
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${formatValue(value)}`);
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

/** Control characters could forge a line or drive the reader's terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, character => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}`;
  });
}
