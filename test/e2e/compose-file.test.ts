/** docker-compose.yml as Compose itself reads it, the one that is Docker's plugin or the older one. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Finished, runCommand } from '../support/real/command.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { requires, unmet } from '../support/requires.ts';

const isPlugin = unmet(['docker compose']).length === 0;
const file = ['--file', join(projectFolder, 'docker-compose.yml')];

async function compose(...args: readonly string[]): Promise<Finished> {
  // Whoever runs the tests may have chosen profiles for something else.
  const env = { COMPOSE_PROFILES: undefined };
  const command = isPlugin ? ['docker', 'compose'] : ['docker-compose'];
  return await runCommand([...command, ...file, ...args], { env });
}

requires('docker-compose')('docker-compose.yml', () => {
  test.each([
    { profiles: [] },
    { profiles: ['redis'] },
    { profiles: ['fleet'] },
    { profiles: ['plain', 'redis', 'fleet', 'monitoring'] },
  ])('is accepted with $profiles', async ({ profiles }) => {
    const chosen = profiles.flatMap(profile => ['--profile', profile]);
    const { code, stderr } = await compose(...chosen, 'config', '--quiet');
    expect(code, stderr).toBe(0);
  });
});

// The older one lists all services, whatever the profiles.
requires('docker compose')('docker compose', () => {
  test('starts what the profiles choose', async () => {
    const choices = {
      '': 'mirror',
      redis: 'mirror-redis redis',
      fleet: 'node1 node2 node3 redis',
      'plain monitoring': 'grafana mirror prometheus',
      'fleet monitoring': 'grafana node1 node2 node3 prometheus redis',
    };
    for (const [profiles, services] of Object.entries(choices)) {
      const chosen = profiles.split(' ').flatMap(profile => (profile === '' ? [] : ['--profile', profile]));
      const { code, stdout, stderr } = await compose(...chosen, 'config', '--services');
      expect(code, stderr).toBe(0);
      expect(stdout.trim().split('\n').sort().join(' '), profiles).toBe(services);
    }
  });
});
