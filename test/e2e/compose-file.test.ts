/** docker-compose.yml as Compose itself reads it, the one that is Docker's plugin or the older one. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Finished, runCommand } from '../support/real/command.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { requires, unmet } from '../support/requires.ts';

const isPlugin = unmet(['docker compose']).length === 0;
const file = ['--file', join(projectFolder, 'docker-compose.yml')];

async function compose(
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  // The user who runs the tests may have chosen something for another purpose.
  const env = { COMPOSE_PROFILES: undefined, CISTERN_LRU_REDIS: undefined, ...variables };
  const command = isPlugin ? ['docker', 'compose'] : ['docker-compose'];
  return await runCommand([...command, ...file, ...args], { env });
}

requires('docker-compose')('docker-compose.yml', () => {
  test.each([
    { profiles: [] },
    { profiles: ['redis'] },
    { profiles: ['fleet'] },
    { profiles: ['nginx'] },
    { profiles: ['redis', 'fleet', 'monitoring'] },
  ])('is accepted with $profiles', async ({ profiles }) => {
    const chosen = profiles.flatMap(profile => ['--profile', profile]);
    const { code, stderr } = await compose([...chosen, 'config', '--quiet']);
    expect(code, stderr).toBe(0);
  });
});

// The older one lists all services, whatever the profiles.
requires('docker compose')('docker compose', () => {
  test('starts what the profiles choose', async () => {
    const choices = {
      '': 'mirror',
      redis: 'mirror redis',
      monitoring: 'grafana mirror prometheus',
      nginx: 'mirror nginx',
      fleet: 'mirror node1 node2 node3 redis',
      'fleet monitoring': 'grafana mirror node1 node2 node3 prometheus redis',
    };
    for (const [profiles, services] of Object.entries(choices))
      expect(
        Object.keys(await servicesOf(profiles))
          .sort()
          .join(' '),
        profiles,
      ).toBe(services);
  });

  test('starts what is named, and what that needs', async () => {
    const choices = {
      'node1 node2 node3': 'node1 node2 node3 redis',
      'node1 node2 node3 grafana': 'grafana node1 node2 node3 prometheus redis',
      grafana: 'grafana prometheus',
    };
    for (const [names, services] of Object.entries(choices)) {
      const chosen = await servicesOf('fleet monitoring', names.split(' '));
      expect(Object.keys(chosen).sort().join(' '), names).toBe(services);
    }
  });

  test('hands the mirror the Redis that the shell says, and else nothing', async () => {
    const url = 'redis://redis:6379/0';
    for (const [variables, expected] of [
      [{}, ''],
      [{ CISTERN_LRU_REDIS: url }, url],
    ] as const)
      expect(await servicesOf('redis', [], variables)).toMatchObject({
        mirror: { environment: { CISTERN_LRU_REDIS: expected } },
      });
  });
});

/** By name, as Compose understands them. */
async function servicesOf(
  profiles: string,
  names: readonly string[] = [],
  variables: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>> {
  const chosen = profiles.split(' ').flatMap(profile => (profile === '' ? [] : ['--profile', profile]));
  const { code, stdout, stderr } = await compose(
    [...chosen, 'config', '--format', 'json', ...names],
    variables,
  );
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout).services;
}
