/**
 * k3s and RKE2: registries.yaml, from which they write the hosts.toml files of their own containerd. `ns` says which registry is
 * meant, so there is nothing to rewrite; the registry itself stays the last endpoint.
 */
import { type ClientSetup, type MirrorForClients, quote } from './client-setup.ts';

export function setUpK3s(mirror: MirrorForClients, forAll: boolean): ClientSetup {
  const registries = forAll ? ['*'] : mirror.upstreams.map(({ key }) => key);
  const entries = registries.map(
    registry => `  ${quote(registry)}:\n    endpoint:\n      - ${quote(mirror.url)}\n`,
  );
  const content = `mirrors:\n${entries.join('')}`;
  return {
    files: [{ path: '/etc/rancher/k3s/registries.yaml', content, mode: 'merge' }],
    commands: ['systemctl restart k3s'],
    notes: [
      'On every node; on agents: systemctl restart k3s-agent',
      'RKE2 takes the same in /etc/rancher/rke2/registries.yaml, and: systemctl restart rke2-server (or rke2-agent)',
      ...(forAll ? ['"*" needs a k3s of 2024 or newer.'] : []),
    ],
  };
}
