/** Users of a registry without files: every name's password is `NAME's`, and the keys of tokens are in memory. */
import type { AccessOptions } from '../../src/auth/access.ts';
import { Logins, type LoginsOptions } from '../../src/auth/identity/logins.ts';
import { StoredTokenKeys } from '../../src/auth/tokens/token-keys.ts';
import { Tokens } from '../../src/auth/tokens/tokens.ts';

export function testUsers(
  options: Partial<LoginsOptions> & { readonly ttlMs?: number } = {},
): NonNullable<AccessOptions['users']> {
  const { now = () => 1_000_000, ttlMs = 300_000 } = options;
  let kept: string | undefined;
  const file = {
    read: async () => kept,
    write: async (text: string) => {
      kept = text;
    },
  };
  const onTrouble = (error: unknown) => {
    throw error;
  };
  return {
    logins: new Logins({
      providers: [
        {
          source: 'htpasswd',
          check: async ({ name, password }) =>
            password === `${name}'s` ? { user: name, groups: [] } : 'wrong',
          versionOf: async () => '',
        },
      ],
      onLogin: () => {},
      now,
      throttledMs: 0,
      ...options,
    }),
    tokens: new Tokens({ keys: new StoredTokenKeys({ file, onTrouble, now }), ttlMs, now }),
  };
}

export function basic(name: string, password = `${name}'s`): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}
