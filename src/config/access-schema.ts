/** The `access` section: who there is, and who may what. Whether users and rules fit together is `access-rules.ts`' business. */
import { z } from 'zod';
import { parseAddressBlock } from './address.ts';
import { leaf, text, word } from './leaf.ts';
import { parseNamePattern } from './locator.ts';
import { refusal, ValueError } from './value-error.ts';

/** RFC 7617 2: a user-id holds no colon. */
function parseUser(value: unknown): string {
  if (typeof value === 'string' && value.startsWith('@')) {
    throw new ValueError(
      `this version has no groups yet; name the users instead of ${JSON.stringify(value)}`,
    );
  }
  if (typeof value === 'string' && value !== '' && !/[:\s]/.test(value)) return value;
  throw refusal('a user name, "*" (everybody who is logged in) or "anonymous" (everybody)', value);
}

export const accessSchema = z.strictObject({
  htpasswd: text.optional(),
  rules: z
    .array(
      z.strictObject({
        repositories: z.array(leaf(parseNamePattern)).min(1),
        users: z.array(leaf(parseUser)).min(1),
        from: z.array(leaf(parseAddressBlock)).prefault([]),
        actions: z.array(word('pull', 'push', 'delete')).prefault(['pull']),
      }),
    )
    .optional(),
});
