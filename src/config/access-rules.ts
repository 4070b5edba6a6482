/**
 * What holds between the keys of `access`: rules that name users need a file that has them. Looks at the raw tree, so that
 * a bad value elsewhere hides nothing.
 */
import type { Findings } from './findings.ts';
import { valueAt } from './path.ts';

export function checkAccess(tree: unknown, findings: Findings): void {
  const rules = valueAt(tree, ['access', 'rules']);
  if (!Array.isArray(rules) || valueAt(tree, ['access', 'htpasswd']) !== undefined) return;
  for (const [index, rule] of rules.entries()) {
    const users = valueAt(rule, ['users']);
    const named = Array.isArray(users) ? users.findIndex(user => user !== 'anonymous') : -1;
    if (named === -1) continue;
    findings.report(
      ['access', 'rules', index, 'users', named],
      'expected access.htpasswd with it, got none: without users nobody can log in',
    );
  }
}
