/** The `access` section: its keys, and the rule that users need a file that has them. */
import { z } from 'zod';
import { parseAddressBlock, parseNamePattern } from '../address.ts';
import type { Findings } from '../findings.ts';
import { refusal, ValueError, valueAt } from '../problem.ts';
import { duration, parsed, text, word } from '../schema-values.ts';

export const accessSchema = z.strictObject({
  htpasswd: text.optional(),
  token_ttl: duration({ shortest: 60_000, longest: 86_400_000 }).prefault('5m'),
  rules: z
    .array(
      z.strictObject({
        repositories: z.array(parsed(parseNamePattern)).min(1),
        users: z.array(parsed(parseUser)).min(1),
        from: z.array(parsed(parseAddressBlock)).prefault([]),
        actions: z.array(word('pull', 'push', 'delete', 'admin')).prefault(['pull']),
      }),
    )
    .optional(),
});

/** Reads the raw tree, so that a bad value elsewhere hides nothing. */
export function checkAccess(tree: unknown, findings: Findings): void {
  const rules = valueAt(tree, ['access', 'rules']);
  if (!Array.isArray(rules) || valueAt(tree, ['access', 'htpasswd']) !== undefined) return;
  for (const [index, rule] of rules.entries()) {
    const users = valueAt(rule, ['users']);
    const named = Array.isArray(users) ? users.findIndex(user => user !== 'anonymous') : -1;
    if (named === -1) continue;
    findings.report(
      ['access', 'rules', index, 'users', named],
      'needs access.htpasswd: without it no user can log in',
    );
  }
}

/** RFC 7617 2: a user-id holds no colon. */
function parseUser(value: unknown): string {
  if (typeof value === 'string' && value.startsWith('@')) {
    const name = JSON.stringify(value);
    throw new ValueError(`this version has no groups yet; name the users instead of ${name}`);
  }
  if (typeof value === 'string' && value !== '' && !/[:\s]/.test(value)) return value;
  throw refusal('a user name, "*" (every logged-in user) or "anonymous" (everyone)', value);
}
