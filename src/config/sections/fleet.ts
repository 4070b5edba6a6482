/** The `fleet` section: its keys, the rules between them, and the configuration made of them. */
import { z } from 'zod';
import { parsePublicUrl } from '../address.ts';
import type { FleetConfig } from '../config.ts';
import type { Findings } from '../findings.ts';
import type { Remark } from '../hints/surprises.ts';
import { formatPath, isSection, refusal, valueAt } from '../problem.ts';
import { gone, parsed, secret, text } from '../schema-values.ts';
import { bucketSentence } from './hosted.ts';

export const fleetSchema = z.strictObject({
  name: parsed(parseFleetName).optional(),
  advertise: parsed(parsePublicUrl).optional(),
  secret: secret.optional(),
  secret_file: text.optional(),
  hosted_on: gone(bucketSentence),
});

/** Shorter secrets can be found by trial. */
const goodSecretLength = 16;

/** A node needs all keys, and a Redis. Reads the raw tree, so that a bad value elsewhere hides nothing. */
export function checkFleet(tree: unknown, findings: Findings): void {
  const fleet = valueAt(tree, ['fleet']);
  if (!isSection(fleet)) return;
  const keys = ['name', 'advertise', 'secret', 'secret_file'];
  const given = Object.keys(fleet).filter(key => keys.includes(key) && fleet[key] !== undefined);
  const [first] = given;
  if (first === undefined) return;
  const path = ['fleet', first];
  for (const key of ['name', 'advertise']) {
    if (!given.includes(key)) findings.report(path, `needs fleet.${key}`, 'key');
  }
  if (!given.includes('secret') && !given.includes('secret_file')) {
    const why = 'without a secret any host could pose as a node';
    findings.report(path, `needs fleet.secret or fleet.secret_file: ${why}`, 'key');
  }
  if (given.includes('secret') && given.includes('secret_file')) {
    findings.report(['fleet', 'secret_file'], 'give either secret or secret_file, not both', 'key');
  }
  if (valueAt(tree, ['lru', 'redis']) === undefined) {
    findings.report(path, 'needs lru.redis: the nodes of a fleet meet in Redis', 'key');
  }
}

/** `files`: text of the files that keys name, by the formatted path of the key. Undefined: there is no fleet. */
export function assembleFleet(
  fleet: z.output<typeof fleetSchema> | undefined,
  files: ReadonlyMap<string, string>,
): FleetConfig | undefined {
  const secret = fleet?.secret ?? files.get(formatPath(['fleet', 'secret_file']));
  if (fleet?.name === undefined || fleet.advertise === undefined || secret === undefined) return undefined;
  return { name: fleet.name, advertise: fleet.advertise, secret };
}

export function warnAboutFleet(fleet: FleetConfig | undefined): readonly Remark[] {
  if (fleet === undefined || fleet.secret.length >= goodSecretLength) return [];
  return [
    [
      ['fleet', 'secret'],
      `shorter than ${goodSecretLength} characters; one intercepted request is enough to guess a short secret`,
    ],
  ];
}

/** It becomes part of keys in Redis. */
function parseFleetName(value: unknown): string {
  if (typeof value === 'string' && /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/.test(value)) return value;
  throw refusal("a name of lower-case letters, digits, '.', '_' and '-', at most 64 of them", value);
}
