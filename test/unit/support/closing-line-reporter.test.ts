import { execFile } from 'node:child_process';
import { symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formatNeeds, parseNeeds, unmet } from '../../support/requires.ts';
import { tempDir } from '../../support/temp-dir.ts';

const support = resolve('test/support');

/** A real run of one file with the reporter, in a process of its own that finds commands only in `PATH`. */
async function run(
  source: string,
  args: readonly string[] = [],
  PATH = '/nowhere',
): Promise<{ code: number; lines: string[] }> {
  const directory = await tempDir();
  await symlink(resolve('node_modules'), join(directory, 'node_modules'));
  const imports = `import { beforeAll, describe, expect, test } from 'vitest'; import { requires } from '${support}/requires.ts';`;
  await writeFile(join(directory, 'a.test.ts'), `${imports}\n${source}`);
  await writeFile(
    join(directory, 'config.mts'),
    `import { ClosingLineReporter } from '${support}/closing-line-reporter.ts';
     export default { root: ${JSON.stringify(directory)}, test: { reporters: ['default', new ClosingLineReporter()] } };`,
  );
  const command = [
    resolve('node_modules/vitest/vitest.mjs'),
    'run',
    '--config',
    join(directory, 'config.mts'),
    ...args,
  ];
  return new Promise(done => {
    execFile(process.execPath, command, { cwd: directory, env: { PATH } }, (error, stdout) => {
      done({ code: Number(error?.code ?? 0), lines: stdout.trimEnd().split('\n') });
    });
  });
}

const passing = `test('passes', () => {});`;

describe('a run', () => {
  test.each([
    ['passes', passing, 0, '1 passed, 0 failed, 0 skipped'],
    [
      'fails with a failing test',
      `${passing} test('fails', () => expect(1).toBe(2));`,
      1,
      '1 passed, 1 failed, 0 skipped',
    ],
    ['fails with a file that cannot be loaded', `throw new Error('no');`, 1, '0 passed, 1 failed, 0 skipped'],
    [
      'fails with an error outside of tests',
      `${passing} setTimeout(() => { throw new Error('late'); }); test('b', () => new Promise(r => setTimeout(r, 50)));`,
      1,
      '2 passed, 1 failed, 0 skipped',
    ],
    [
      'passes with a skip for an unmet requirement',
      `${passing} requires('podman')('pulls', () => { test('a', () => {}); test('b', () => {}); });`,
      0,
      '1 passed, 0 failed, 2 skipped',
    ],
  ])('%s, and its last line counts', async (_what, source, code, last) => {
    const result = await run(source);
    expect([result.code === 0 ? 0 : 1, result.lines.at(-1)]).toEqual([code, last]);
  });

  test('fails and names the suite when something was skipped without a requirement', async () => {
    const { code, lines } = await run(
      `${passing} describe('a suite', () => { test.skip('skipped', () => {}); });`,
    );
    expect(code).toBe(1);
    expect(lines.slice(-2)).toEqual([
      'FAILED: skipped without a declared requirement: a.test.ts > a suite > skipped',
      '1 passed, 0 failed, 1 skipped',
    ]);
  });

  test('fails and names the suite when all it needs is there', async () => {
    const tools = await tempDir();
    await writeFile(join(tools, 'podman'), '', { mode: 0o755 });
    const suite = `describe.skip('pulls ${formatNeeds(['podman'])}', () => { ${passing} });`;
    const { code, lines } = await run(suite, [], tools);
    expect(code).toBe(1);
    expect(lines.at(-2)).toBe(
      'FAILED: skipped although everything it needs is here (podman): a.test.ts > pulls [needs podman] > passes',
    );
  });

  test('fails a run with a title that fills the screen, of a test or of a suite', async () => {
    const long = 'a'.repeat(121);
    const { code, lines } = await run(
      `test('${'a'.repeat(120)}', () => {}); test('${long}', () => {}); describe('${long}', () => { ${passing} });`,
    );
    expect(code).toBe(1);
    const complaint = `FAILED: a title of 121 characters: a.test.ts > ${'a'.repeat(60)}…`;
    expect(lines.filter(line => line.startsWith('FAILED:'))).toEqual([complaint, complaint]);
    expect(lines.at(-1)).toBe('3 passed, 0 failed, 0 skipped');
  });

  test('names what passed only when it was tried again', async () => {
    const { code, lines } = await run(
      `let tries = 0; test('wavers', { retry: 1 }, () => expect(tries++).toBe(1)); ${passing}`,
    );
    expect([code, ...lines.slice(-2)]).toEqual([
      0,
      'UNSTEADY: passed at a second try: a.test.ts > wavers',
      '2 passed, 0 failed, 0 skipped',
    ]);
  });

  test('whose hook fails says that alone, although its tests were skipped', async () => {
    const { code, lines } = await run(
      `describe('a', () => { beforeAll(() => { throw new Error('no'); }); describe('b', () => { ${passing} }); });`,
    );
    expect(code).toBe(1);
    expect(lines.filter(line => line.startsWith('FAILED:'))).toEqual([]);
    expect(lines.at(-1)).toBe('0 passed, 1 failed, 1 skipped');
  });

  test('with a name filter holds nothing against what the filter leaves out', async () => {
    const { code, lines } = await run(`${passing} test('other', () => {});`, ['-t', 'passes']);
    expect([code, lines.at(-1)]).toEqual([0, '1 passed, 0 failed, 1 skipped']);
  });
});

test('needs are read back from a name, unknown ones are none', () => {
  expect(parseNeeds(`suite ${formatNeeds(['root', 'podman'])} > test`)).toEqual(['root', 'podman']);
  expect(parseNeeds('suite [needs luck] > test')).toEqual([]);
  expect(unmet([])).toEqual([]);
});
