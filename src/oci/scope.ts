/** Scopes of registry tokens: `repository:NAME:ACTIONS` (the distribution project's token specification). */
import type { Repository } from './name.ts';

/** What a pull needs. A token for it may be asked for before any challenge was seen. */
export function pullScope(repository: Repository): string {
  return `repository:${repository}:pull`;
}
