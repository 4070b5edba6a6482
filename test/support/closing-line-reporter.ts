/**
 * Prints `N passed, N failed, N skipped` as the very last line of a run, and fails the run when something was skipped that
 * could have run: a skip is allowed only below a suite made by `requires(…)` one of whose requirements is unmet.
 * A file that can't be loaded, a suite whose hook fails and an error outside of tests each count as one failed. With a name filter (-t) what it
 * leaves out may be skipped. What passed only at a second try is named. A title of more than 120 characters fails the run too.
 */
import type { Reporter, SerializedError, TestCase, TestModule, Vitest } from 'vitest/node';
import { parseNeeds, unmet } from './requires.ts';
import { longestTitle } from './titles.ts';

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** One line for each suite or test that was skipped without a reason or has too long a title. */
  readonly unjustified: readonly string[];
  /** One line for each test that failed first and passed when it was tried again. */
  readonly unsteady: readonly string[];
}

export class ClosingLineReporter implements Reporter {
  readonly #print: (text: string) => void;
  #filtered = false;
  #tally: Tally | undefined;

  constructor(print: (text: string) => void = text => void process.stdout.write(text)) {
    this.#print = print;
  }

  onInit(vitest: Vitest): void {
    this.#filtered = vitest.config.testNamePattern !== undefined;
    // At the exit, because whatever other reporters still print comes before.
    process.once('exit', () => this.#close());
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    this.#tally = tallyOf(modules, errors.length, this.#filtered);
    if (this.#tally.unjustified.length > 0) process.exitCode = 1;
  }

  #close(): void {
    // Without a tally the run was broken off, which is no success.
    const { unjustified, unsteady, ...counts } = this.#tally ?? brokenOff;
    if (unjustified.length > 0) process.exitCode ||= 1;
    for (const line of [...unsteady, ...unjustified]) this.#print(`${line}\n`);
    this.#print(`${formatTally(counts)}\n`);
  }
}

const brokenOff: Tally = {
  passed: 0,
  failed: 1,
  skipped: 0,
  unjustified: ['FAILED: the run was broken off'],
  unsteady: [],
};

export function formatTally({ passed, failed, skipped }: Omit<Tally, 'unjustified' | 'unsteady'>): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

export function tallyOf(modules: readonly TestModule[], errorCount: number, filtered: boolean): Tally {
  const tests = modules.flatMap(module => [...module.children.allTests()]);
  const groups = [...modules, ...modules.flatMap(module => [...module.children.allSuites()])];
  const broken = groups.filter(group => group.errors().length > 0).length;
  const count = (state: string) => tests.filter(test => test.result().state === state).length;
  const skipped = tests.filter(test => test.result().state === 'skipped');
  const unjustified = filtered ? [] : new Set(skipped.map(complaintAbout).filter(text => text !== undefined));
  const suites = groups.filter(group => group.type === 'suite');
  const long = [...suites, ...tests].filter(({ name }) => name.length > longestTitle);
  return {
    passed: count('passed'),
    failed: count('failed') + count('pending') + broken + errorCount,
    skipped: skipped.length,
    unjustified: [
      ...unjustified,
      ...long.map(
        ({ name, module }) =>
          `FAILED: a title of ${name.length} characters: ${module.relativeModuleId} > ${name.slice(0, 60)}…`,
      ),
    ],
    unsteady: tests
      .filter(test => test.diagnostic()?.flaky === true)
      .map(test => `UNSTEADY: passed at a second try: ${nameOf(test)}`),
  };
}

/** Undefined when the skip has a good reason. */
function complaintAbout(test: TestCase): string | undefined {
  if (isBelowBroken(test)) return undefined; // fails the run already, and by its own message
  const needs = parseNeeds(test.fullName);
  if (unmet(needs).length > 0) return undefined;
  const where = nameOf(test);
  return needs.length === 0
    ? `FAILED: skipped without a declared requirement: ${where}`
    : `FAILED: skipped although everything it needs is here (${needs.join(', ')}): ${where}`;
}

function nameOf(test: TestCase): string {
  return `${test.module.relativeModuleId} > ${test.fullName}`;
}

/** Vitest skips the tests of a suite whose beforeAll has failed. */
function isBelowBroken(test: TestCase): boolean {
  for (let group = test.parent; ; group = group.parent) {
    if (group.errors().length > 0) return true;
    if (group.type === 'module') return false;
  }
}
