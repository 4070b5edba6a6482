/**
 * Writes what the bench has kept into docs/performance.md, between its two marks: the machine and the date, the goals that were missed,
 * those that were reached, and all tables. What stands outside the marks is written by hand. `write-performance RESULTS PAGE`
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { figuresOf, type Goal, goalsOf, isMet, type Part } from './goals.ts';
import type { SavedTable } from './saved-table.ts';

const beginMark = '<!-- written by npm run bench -->';
const endMark = '<!-- end of what npm run bench writes -->';

const [results = '', page = ''] = process.argv.slice(2);
const tables = readdirSync(results)
  .filter(name => name.endsWith('.json'))
  .map((name): SavedTable => JSON.parse(readFileSync(join(results, name), 'utf8')))
  .filter(({ isQuick }) => !isQuick)
  .sort((one, other) => (one.title < other.title ? -1 : 1));
const text = readFileSync(page, 'utf8');
const [begin, end] = [text.indexOf(beginMark), text.indexOf(endMark)];
if (begin < 0 || end < begin) throw new Error(`expected the two marks of the bench in ${page}`);
if (tables.length > 0) {
  writeFileSync(page, `${text.slice(0, begin + beginMark.length)}\n\n${render()}\n${text.slice(end)}`);
  process.stdout.write(`\n${page} has the figures of ${tables.length} tables\n`);
} else process.stdout.write('\nno figures: a quick run writes nothing\n');

function render(): string {
  const goals = goalsOf(figuresOf(tables));
  const isMeasured = ({ parts }: Goal): boolean => parts.some(({ value }) => !Number.isNaN(value));
  const isReached = ({ parts }: Goal): boolean =>
    parts.every(part => Number.isNaN(part.value) || isMet(part));
  const missed = goals.filter(goal => isMeasured(goal) && !isReached(goal));
  const reached = goals.filter(goal => isMeasured(goal) && isReached(goal));
  const open = goals.filter(goal => !isMeasured(goal));
  const dates = tables.map(({ at }) => at.slice(0, 10)).sort();
  const days = [...new Set([dates[0], dates.at(-1)])].join(' to ');
  return [
    `Measured on ${days}: ${tables[0]?.machine.replace(/, load .*/, '')}.`,
    '## Goals that are missed',
    missed.length === 0 ? 'None.' : formatGoals(missed),
    '## Goals that are reached',
    reached.length === 0 ? 'None.' : formatGoals(reached),
    ...(open.length === 0 ? [] : [`Not measured here: ${open.map(({ row }) => row).join(' · ')}.`]),
    '## Tables',
    ...tables.flatMap(({ title, machine, text: lines }) => [
      `### ${title}`,
      `\`\`\`\n${machine}\n${lines.join('\n')}\n\`\`\``,
    ]),
    '',
  ].join('\n\n');
}

function formatGoals(goals: readonly Goal[]): string {
  const rows = goals.map(({ row, parts }) => `| ${row} | ${parts.map(formatPart).join(' · ')} |`);
  return ['| row | measured (goal) |', '|---|---|', ...rows].join('\n');
}

function formatPart(part: Part): string {
  const { what, value, atMost, atLeast, unit } = part;
  const bound = atMost === undefined ? `≥ ${format(atLeast ?? 0)}` : `≤ ${format(atMost)}`;
  if (Number.isNaN(value)) return `${what}: not measured (${bound}${unit})`;
  const figure = `${what} ${format(value)}${unit} (${bound})`;
  return isMet(part) ? figure : `**${figure}**`;
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}
