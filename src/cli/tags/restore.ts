/** `cistern restore IMAGE [@DIGEST | --at TIME]`: says which tags point where now, and what came back. */
import type { RestoreReport } from '../../admin/tag-admin.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';
import { CommandError } from '../command-line.ts';

/** Times without a zone are local ones. Resolves with the exit code. */
export function runRestore(
  options: AdminOptions,
  image: string,
  { digest, at }: { readonly digest: string | undefined; readonly at: string | undefined },
): Promise<number> {
  return withAdmin(options, {
    isChange: true,
    run: async (admin, signal) => {
      const wanted = {
        ...(digest !== undefined && { digest: digest.replace(/^@/, '') }),
        ...(at !== undefined && { at: isoTime(at) }),
      };
      writeReport(options, await admin.tags.restore(image, wanted, signal), render);
      return 0;
    },
  });
}

function isoTime(text: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw new CommandError(`expected a time such as 2026-11-27T10:00, got ${text}`, 'TAG_INVALID');
  return new Date(ms).toISOString();
}

function render({ image, digest, tags, undeleted }: RestoreReport): string {
  const lines = tags.map(({ tag, from }) =>
    from === null
      ? `${tag} points to ${digest} again`
      : `${tag} points to ${digest}, and no longer to ${from}`,
  );
  if (undeleted.length > 0) lines.push(`restored manifests: ${undeleted.join(', ')}`);
  if (lines.length === 0) lines.push(`nothing to do: it is ${digest}`);
  return lines.map(line => `${image}: ${line}\n`).join('');
}
