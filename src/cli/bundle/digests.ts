/** `cistern digests`: what this store has, one digest a line, for `cistern export --have` on another machine. */
import { type AdminOptions, withAdmin } from '../admin-client.ts';

/** Lines are written in pieces of so many. */
const linesAtOnce = 500;

/** Resolves with the exit code. */
export function runDigests(options: AdminOptions): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    run: async (admin, signal) => {
      const all: string[] = [];
      let lines: string[] = [];
      for await (const digest of admin.bundles.digests(signal)) {
        if (options.json === true) all.push(digest);
        else lines.push(`${digest}\n`);
        if (lines.length < linesAtOnce) continue;
        options.write(lines.join(''));
        lines = [];
      }
      if (options.json === true) options.write(`${JSON.stringify({ digests: all }, null, 2)}\n`);
      else if (lines.length > 0) options.write(lines.join(''));
      return 0;
    },
  });
}
