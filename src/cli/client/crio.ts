/** CRI-O: the registries.conf of podman, for a daemon. */

import type { ClientSetup, MirrorForClients } from './client-setup.ts';
import { describeLeftOut, registriesFiles } from './podman.ts';

/** Errors: `ClientRefusal`, as for podman. */
export function setUpCrio(mirror: MirrorForClients): ClientSetup {
  const files = registriesFiles(mirror);
  return {
    files,
    commands: files.length === 0 ? [] : ['systemctl restart crio'],
    notes: ['On every node. Containers that run go on while CRI-O restarts.', ...describeLeftOut(mirror)],
  };
}
