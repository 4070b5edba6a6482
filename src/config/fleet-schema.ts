/**
 * The keys of `fleet` with their kinds: one name and one secret for all nodes, and where the others reach this one. What
 * holds between them is in `fleet-rules.ts`.
 */
import { z } from 'zod';
import { later, leaf, secret, text } from './leaf.ts';
import { parsePublicUrl } from './locator.ts';
import { refusal } from './value-error.ts';

/** It becomes part of keys in Redis. */
function parseFleetName(value: unknown): string {
  if (typeof value === 'string' && /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/.test(value)) return value;
  throw refusal("a name of lower-case letters, digits, '.', '_' and '-', at most 64 of them", value);
}

export const fleetSchema = z.strictObject({
  name: leaf(parseFleetName).optional(),
  advertise: leaf(parsePublicUrl).optional(),
  secret: secret.optional(),
  secret_file: text.optional(),
  hosted_on: later('hosted repositories'),
});
