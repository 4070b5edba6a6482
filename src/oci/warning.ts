/**
 * The `Warning` header (OCI distribution-spec "Warnings": only `299 - "text"`, at most 4096 bytes in all).
 * Clients show it and must not act on it, so it carries what a stale answer has to say.
 */
import { formatQuoted } from './quoted-string.ts';

const prefix = '299 - ';
const maxBytes = 4096;

export function formatWarning(text: string): string {
  return prefix + formatQuoted(text, maxBytes - prefix.length);
}
