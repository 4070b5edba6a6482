/**
 * What holds between the keys of `fleet`: a node needs all of them, and a Redis to meet the others in. Looks at the raw
 * tree, so that a bad value elsewhere hides nothing.
 */
import type { Findings } from './findings.ts';
import { isSection, valueAt } from './path.ts';

export function checkFleet(tree: unknown, findings: Findings): void {
  const fleet = valueAt(tree, ['fleet']);
  if (!isSection(fleet)) return;
  const keys = ['name', 'advertise', 'secret', 'secret_file'];
  const given = Object.keys(fleet).filter(key => keys.includes(key) && fleet[key] !== undefined);
  const [first] = given;
  if (first === undefined) return;
  const path = ['fleet', first];
  for (const key of ['name', 'advertise']) {
    if (!given.includes(key)) findings.report(path, `expected fleet.${key} with it, got none`, 'key');
  }
  if (!given.includes('secret') && !given.includes('secret_file')) {
    const why = 'without a secret anybody could pose as a node';
    findings.report(path, `expected fleet.secret or fleet.secret_file with it, got neither: ${why}`, 'key');
  }
  if (given.includes('secret') && given.includes('secret_file')) {
    findings.report(['fleet', 'secret_file'], 'expected one of secret and secret_file, got both', 'key');
  }
  if (valueAt(tree, ['lru', 'redis']) === undefined) {
    findings.report(path, 'expected lru.redis with it, got none: a fleet meets in Redis', 'key');
  }
}
