/** The `access` section: its keys, and the rule that users need a file that has them. */
import { z } from 'zod';
import { parseAddressBlock, parseNamePattern } from '../address.ts';
import type { Findings } from '../findings.ts';
import { refusal, valueAt } from '../problem.ts';
import { duration, parsed, text, word } from '../schema-values.ts';
import { checkLdap, ldapIn, ldapSchema } from './ldap.ts';

export const accessSchema = z.strictObject({
  htpasswd: text.optional(),
  ldap: ldapSchema.optional(),
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
  checkLdap(tree, findings);
  const rules = valueAt(tree, ['access', 'rules']);
  if (!Array.isArray(rules)) return;
  const ldap = ldapIn(tree);
  const hasUsers =
    ldap.isGiven ||
    valueAt(tree, ['access', 'htpasswd']) !== undefined ||
    valueAt(tree, ['http', 'tls', 'client_ca']) !== undefined; // users by certificate
  for (const [index, rule] of rules.entries()) {
    const users = valueAt(rule, ['users']);
    const names: readonly unknown[] = Array.isArray(users) ? users : [];
    const named = hasUsers ? -1 : names.findIndex(user => user !== 'anonymous');
    const group = ldap.hasGroups ? -1 : names.findIndex(isGroup);
    if (named !== -1)
      findings.report(
        ['access', 'rules', index, 'users', named],
        'needs access.htpasswd or access.ldap: without them no user can log in',
      );
    else if (group !== -1)
      findings.report(
        ['access', 'rules', index, 'users', group],
        'needs access.ldap.groups: without it no user is in a group',
      );
  }
}

function isGroup(user: unknown): boolean {
  return typeof user === 'string' && user.startsWith('@');
}

/** RFC 7617 2: a user-id holds no colon. Names of groups may have blanks. */
function parseUser(value: unknown): string {
  if (typeof value === 'string' && /^@\S(?:.*\S)?$/.test(value)) return value;
  if (typeof value === 'string' && value !== '' && !/[:\s]|^@/.test(value)) return value;
  throw refusal('a user name, "@group", "*" (every logged-in user) or "anonymous" (everyone)', value);
}
