/** deploy/cistern.service as systemd reads it: nothing to complain about, and little left that the service could harm. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCommand } from '../support/real/command.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

/** systemd's own measure, 0 to 100; what stays is mostly the network, which the mirror is there for. */
const mostExposure = 16;

requires('systemd-analyze')('the systemd unit', () => {
  test('is accepted without a word', async () => {
    const unit = await writeUnit();
    expect(await analyze('verify', '--man=no', unit)).toEqual({ code: 0, stdout: '', stderr: '' });
    const flawed = await writeUnit(text => text.replace('ProtectHome=', 'ProtectHouse='));
    expect((await analyze('verify', '--man=no', flawed)).stderr).toContain('ProtectHouse');
  });

  test('leaves the service little to harm', async () => {
    const limit = ['security', '--offline=true', `--threshold=${mostExposure}`];
    const { code, stdout } = await analyze(...limit, await writeUnit());
    expect(code, stdout).toBe(0);
    const open = await writeUnit(text => text.replace('DynamicUser=yes', 'User=root'));
    expect((await analyze(...limit, open)).code).toBe(1);
  });
});

async function analyze(...args: readonly string[]) {
  return await runCommand(['systemd-analyze', '--no-pager', ...args]);
}

/** With the node of this machine in place of /usr/bin/node, which need not be here. */
async function writeUnit(change = (text: string) => text): Promise<string> {
  const text = await readFile(join(projectFolder, 'deploy/cistern.service'), 'utf8');
  expect(text).toContain('ExecStart=/usr/bin/node ');
  const path = join(await tempDir(), 'cistern.service');
  await writeFile(path, change(text.replace('ExecStart=/usr/bin/node ', `ExecStart=${process.execPath} `)));
  return path;
}
