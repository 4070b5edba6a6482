/**
 * Where the programs are that benches start as processes of their own. test/bench/run.sh compiles them, and what they import from
 * src with them: Node runs no TypeScript, and a loader that does would be measured too. Those in C are only there with a compiler.
 */
import { fileURLToPath } from 'node:url';

const built = new URL('../../.lab/bench/', import.meta.url);

export type ProgramName =
  | 'bare-server'
  | 'collected-memory'
  | 'drain'
  | 'latency'
  | 'longest-turn'
  | 'million-index'
  | 'relay';

/** Absolute path of the compiled file. */
export function programFile(name: ProgramName): string {
  return fileURLToPath(new URL(`test/bench/programs/${name}.js`, built));
}

/** Of what was compiled from C or installed by Go. It need not be there. */
export function builtFile(name: 'drain' | 'copy-server' | 'go/registry'): string {
  return fileURLToPath(new URL(name, built));
}
