/**
 * The OCI conformance program, built with Go. It writes no `<failure>` elements, so a run is judged by exit code, counts and the
 * `status` of each case.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './command.ts';
import { buildGoProgram } from './go-program.ts';

export interface ConformanceReport {
  readonly code: number | null;
  /** Of `<testsuites>`; an attribute that isn't there is 0. */
  readonly counts: Readonly<Record<'tests' | 'failures' | 'errors' | 'skipped', number>>;
  /** Names of the cases, by their `status`. */
  readonly cases: ReadonlyMap<string, readonly string[]>;
}

export class Conformance {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Errors: a build that fails. */
  static async find(): Promise<Conformance> {
    return new Conformance(await buildGoProgram('conformance'));
  }

  /** `settings`: variables of the program, without `OCI_`. `folder`: for its results. */
  async run(
    url: string,
    folder: string,
    settings: Readonly<Record<string, string>>,
  ): Promise<ConformanceReport> {
    const given = Object.entries({
      VERSION: 'dev',
      REGISTRY: new URL(url).host,
      TLS: 'disabled',
      RESULTS_DIR: folder,
      ...settings,
    }).map(([name, value]) => [`OCI_${name}`, value]);
    const { code } = await runCommand([this.#path], { env: Object.fromEntries(given), timeoutMs: 300_000 });
    return readReport(code, await readFile(join(folder, 'junit.xml'), 'utf8'));
  }
}

function readReport(code: number | null, xml: string): ConformanceReport {
  const head = /<testsuites\b[^>]*>/.exec(xml)?.[0] ?? '';
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const cases = new Map<string, string[]>();
  for (const [element] of xml.matchAll(/<testcase\b[^>]*>/g)) {
    const [name = '', status = 'none'] = ['name', 'status'].map(
      key => new RegExp(`\\b${key}="([^"]*)"`).exec(element)?.[1],
    );
    cases.set(status, [...(cases.get(status) ?? []), name]);
  }
  return {
    code,
    counts: {
      tests: count('tests'),
      failures: count('failures'),
      errors: count('errors'),
      skipped: count('skipped'),
    },
    cases,
  };
}
