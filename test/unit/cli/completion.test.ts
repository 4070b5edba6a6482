/** The completion scripts in their own shells: what each offers after some words. Shells that aren't here are passed over. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { expect, test } from 'vitest';
import { CommandLine } from '../../../src/cli/command-line.ts';
import { defineCommands } from '../../../src/cli/commands.ts';
import { formatCompletion, type Shell } from '../../../src/cli/completion.ts';
import { tempDir } from '../../support/temp-dir.ts';

const program = new Command('cistern');
defineCommands(new CommandLine(program, { env: {}, cwd: '/', version: '1' }));

async function scriptOf(shell: Shell): Promise<string> {
  const path = join(await tempDir(), `cistern.${shell}`);
  await writeFile(path, formatCompletion(shell, program));
  return path;
}

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;

/** What stands after the cursor is left out; the last word is what has been typed of it. */
const offers: readonly (readonly [string, readonly string[]])[] = [
  ['st', ['stats']],
  ['client he', ['helm']],
  ['client con', ['containerd']],
  ['ls --so', ['--sort']],
  ['ls --sort si', ['size']],
  ['completion z', ['zsh']],
  ['check --up', ['--upstreams']],
  ['hist', ['history']],
  ['rest', ['restore']],
  ['promote --pl', ['--platform']],
  ['retention --ex', ['--explain']],
];

test.each(offers)('bash, cistern %s', async (words, expected) => {
  const list = ['cistern', ...words.split(' ')].map(word => `'${word}'`).join(' ');
  const script = `source ${await scriptOf('bash')}; COMP_WORDS=(${list}); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); _cistern; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8' });
  expect(output.trim().split('\n')).toEqual(expected);
});

test.skipIf(!has('fish')).each(offers)('fish, cistern %s', async (words, expected) => {
  const script = `source ${await scriptOf('fish')}; complete -C 'cistern ${words}'`;
  const env = { ...process.env, HOME: await tempDir() };
  const output = execFileSync('fish', ['--no-config', '-c', script], { encoding: 'utf8', env });
  expect(
    output
      .trim()
      .split('\n')
      .map(line => line.split('\t')[0]),
  ).toEqual(expected);
});

test.skipIf(!has('zsh'))('zsh takes the script, and knows whose it is', async () => {
  const script = `autoload -Uz compinit; compinit -u -D; source ${await scriptOf('zsh')}; echo $_comps[cistern]`;
  const env = { ...process.env, HOME: await tempDir() };
  expect(execFileSync('zsh', ['-f', '-c', script], { encoding: 'utf8', env })).toBe('_cistern\n');
});

test('every command is in each script', () => {
  for (const shell of ['bash', 'zsh', 'fish'] as const)
    for (const { name } of program.commands.map(command => ({ name: command.name() })))
      expect(formatCompletion(shell, program)).toContain(name);
});
