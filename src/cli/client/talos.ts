/**
 * Talos Linux: a patch for the machine configuration. Talos writes the hosts files of its containerd from it, so the mirror
 * learns the registry by `ns`, and the registry itself is the fallback.
 */
import { type ClientSetup, type MirrorForClients, quote } from './client-setup.ts';

const patch = 'talos-cistern.yaml';

export function setUpTalos(mirror: MirrorForClients, forAll: boolean): ClientSetup {
  const registries = forAll ? ['*'] : mirror.upstreams.map(({ key }) => key);
  const entries = registries.map(
    registry => `      ${quote(registry)}:\n        endpoints:\n          - ${quote(mirror.url)}\n`,
  );
  return {
    files: [
      { path: patch, content: `machine:\n  registries:\n    mirrors:\n${entries.join('')}`, mode: 'create' },
    ],
    commands: [`talosctl patch machineconfig --nodes NODE --patch @${patch}`],
    notes: [
      'Do this for every node. Talos takes it over without a reboot.',
      `For a new cluster: talosctl gen config NAME URL --config-patch @${patch}`,
      'A mirror with https and a CA of its own: the CA goes under machine.registries.config, or in a TrustedRootsConfig.',
    ],
  };
}
