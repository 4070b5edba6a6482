/**
 * Where the programs of `programs/` are that benches start as processes of their own. `npm run bench` compiles them, and what
 * they import from src with them: Node runs no TypeScript, and a loader that does would be measured too.
 */
import { fileURLToPath } from 'node:url';

const compiled = new URL('../../.lab/bench/test/bench/programs/', import.meta.url);

export type ProgramName = 'bare-server' | 'collected-memory' | 'longest-turn' | 'million-index';

/** Absolute path of the compiled file. */
export function programFile(name: ProgramName): string {
  return fileURLToPath(new URL(`${name}.js`, compiled));
}
