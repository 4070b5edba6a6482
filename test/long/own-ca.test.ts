/** docker pushes 1 GB through nginx with a password and a certificate of an own authority, in nginx's configuration of 2015. */
import { test } from 'vitest';
import { expectSession, name, startNginxSetup } from '../support/real/registry-setup.ts';
import { requires } from '../support/requires.ts';

requires(
  'root',
  'namespaces',
  'dockerd',
  'openssl',
  'curl',
  'nginx',
  'htpasswd',
)('nginx, htpasswd and an own authority', () => {
  test('login, commit, push of 1 GB, pull', async () => {
    await expectSession(await startNginxSetup(), `${name}:8080`, 1_000_000_000);
  }, 900_000);
});
