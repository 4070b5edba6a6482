/** The token endpoint where there are no logins: on a listener that has them off, every caller is anonymous, whatever it sends. */
import { expect, test } from 'vitest';
import { Access } from '../../../src/auth/access.ts';
import { Rules } from '../../../src/auth/rules.ts';
import { get } from '../../support/client.ts';
import { serveApp } from '../../support/served-app.ts';
import { basic, testUsers } from '../../support/users.ts';

test.each([true, false])('a listener with logins %s', async hasLogins => {
  const rules = [{ matches: (name: string) => name === 'docker.io/a/open', users: ['anonymous'], from: [] }];
  const access = new Access({
    users: testUsers(),
    rules: new Rules(
      rules.map(rule => ({ ...rule, actions: ['pull'] as const })),
      { hasUsers: true },
    ),
  });
  const { url, hub } = await serveApp({
    access,
    identities: { of: () => ({ takesLogins: hasLogins, user: undefined }) },
  });
  hub.addManifest(Buffer.from('{}'), 'application/x', '1');
  for (const isHot of [false, true]) {
    hub.isHot = isHot;
    const statuses: number[] = [];
    for (const path of ['/token', '/v2/', '/v2/a/open/manifests/1', '/v2/a/closed/manifests/1'])
      for (const headers of [
        {},
        { Authorization: basic('alice') },
        { Authorization: basic('alice', 'wrong') },
      ])
        statuses.push((await get(url, path, { headers })).status);
    expect(statuses).toEqual(
      hasLogins
        ? [200, 200, 401, 401, 200, 401, 200, 200, 401, 401, 403, 401]
        : [404, 404, 404, 200, 200, 200, 200, 200, 200, 403, 403, 403],
    );
  }
});
