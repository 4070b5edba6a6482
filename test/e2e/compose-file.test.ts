/** docker-compose.yml as Docker's own client reads it. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCommand } from '../support/real/command.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { requires } from '../support/requires.ts';

requires('docker compose')('docker-compose.yml', () => {
  test('is accepted', async () => {
    const file = join(projectFolder, 'docker-compose.yml');
    const { code, stderr } = await runCommand(['docker', 'compose', '--file', file, 'config', '--quiet']);
    expect(code, stderr).toBe(0);
  });
});
