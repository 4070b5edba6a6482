/**
 * Titles of tests from tables of cases. A title names its case and stays short: no text of 100,000 characters is printed.
 *
 *     test.each(titled(['a', 'b'.repeat(100_000)]))('%s is refused', (_title, text) => …);
 */

/** What the closing line allows. Characters. */
export const longestTitle = 120;

const shownLength = 72;
const digest = /\b(sha(?:256|512)[:-][0-9a-f]{6})[0-9a-f]{26,}/gi;

/** As JSON, with digests and long texts cut. */
export function shown(value: unknown): string {
  const text = (JSON.stringify(value) ?? String(value)).replace(digest, '$1…');
  return text.length <= shownLength ? text : `${text.slice(0, 36)}… (${text.length} characters)`;
}

/** Each case with its title in front. The title of a list shows each of its values. */
export function titled<const Case>(cases: readonly Case[]): [title: string, value: Case][] {
  return cases.map(value => [
    Array.isArray(value)
      ? value
          .map(shown)
          .join(' ')
          .slice(0, shownLength + 24)
      : shown(value),
    value,
  ]);
}
