/**
 * `cistern read-only [on|off]`: pushes and deletes of the private registry are refused from now on, or taken again; pulls go on. It holds
 * until the daemon ends; `hosted.read_only` holds longer.
 */
import type { ReadOnlyReport } from '../../admin/admin.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';

/** `state`: undefined only asks. Resolves with the exit code. */
export function runReadOnly(
  options: AdminOptions,
  state: string | undefined,
  message: string | undefined,
): Promise<number> {
  const wanted = state === undefined ? undefined : state === 'on' && (message ?? true);
  return withAdmin(options, {
    isChange: false, // of the store
    run: async (admin, signal) => {
      writeReport(options, await admin.readOnly(wanted, signal), describe);
      return 0;
    },
  });
}

function describe({ readOnly }: ReadOnlyReport): string {
  if (readOnly === false) return 'read-only: off, pushes and deletes are taken\n';
  const message = readOnly === true ? '' : `, clients are told: ${readOnly}`;
  return `read-only: on, pushes and deletes are refused${message}\n`;
}
