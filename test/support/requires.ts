/**
 * What a suite needs from the machine. A suite that declares a requirement runs wherever it is met and is skipped elsewhere;
 * the closing-line reporter asks again and fails the run for every skip that has no unmet requirement to show.
 *
 *     requires('root', 'dockerd')('dockerd pulls through the mirror', () => { test(…) });
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe } from 'vitest';
import { onPath } from './real/command.ts';
import { type GoProgram, moduleOf } from './real/go-program.ts';

const requirements = {
  root: () => process.getuid?.() === 0,
  /** Network and mount namespaces can be made. */
  namespaces: () => succeeds('unshare', ['--net', '--mount', 'true']),
  'docker-registry': () => onPath('docker-registry'),
  'redis-server': () => onPath('redis-server'),
  dockerd: () => onPath('dockerd') && onPath('docker'),
  containerd: () => onPath('containerd') && onPath('ctr'),
  podman: () => onPath('podman'),
  runc: () => onPath('runc'),
  skopeo: () => onPath('skopeo'),
  buildah: () => onPath('buildah'),
  nginx: () => onPath('nginx'),
  openssl: () => onPath('openssl'),
  curl: () => onPath('curl'),
  apache2: () => onPath('apache2'),
  htpasswd: () => onPath('htpasswd'),
  slapd: () => onPath('slapd') && onPath('slapadd'),
  /** Can make system calls of another process fail. */
  strace: () => hasCapability(19) && succeeds('strace', ['-o', '/dev/null', 'true']),
  /** Can take Debian packages apart and get them. */
  'debian-packages': () => onPath('apt-get') && onPath('dpkg-deb'),
  /** npm's registry answers, or whatever stands in for it here. */
  'npm-registry': () => succeeds('npm', ['view', 'npm@11.0.0', 'version']),
  'systemd-analyze': () => onPath('systemd-analyze'),
  prometheus: () => onPath('prometheus') && onPath('promtool'),
  /** Either kind of Compose. */
  'docker-compose': () => onPath('docker-compose') || succeeds('docker', ['compose', 'version']),
  /** Docker's client with the plugin. */
  'docker compose': () => succeeds('docker', ['compose', 'version']),
  /** Makes a terminal for a command. */
  script: () => onPath('script'),
  tmpfs: () =>
    process.getuid?.() === 0 && succeeds('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt']),
  chromium: () => onPath('chromium'),
  /** Optional everywhere: Debian has no packages of them. */
  crane: () => onPath('crane') || canBuild('crane'),
  oras: () => onPath('oras') || canBuild('oras'),
  regctl: () => onPath('regctl') || canBuild('regctl'),
  /** Optional everywhere. */
  zot: () => onPath('zot'),
  /** Optional everywhere. */
  go: () => onPath('go'),
  /** Go, and modules for it: from its proxy, or from the cache. Optional everywhere. */
  'go-modules': () => canBuild('helm'),
  conformance: () => canBuild('conformance'),
} as const satisfies Record<string, () => boolean>;

export type Requirement = keyof typeof requirements;

/** `describe` when all are met; otherwise the suite is skipped and its name says what it needs. */
export function requires(...names: readonly Requirement[]): (suite: string, body: () => void) => void {
  return (suite, body) => {
    if (unmet(names).length === 0) describe(suite, body);
    else describe.skip(`${suite} ${formatNeeds(names)}`, body);
  };
}

export function unmet(names: readonly Requirement[]): Requirement[] {
  return names.filter(name => !requirements[name]());
}

/** `[needs root, dockerd]`, as it stands in the name of a skipped suite. */
export function formatNeeds(names: readonly Requirement[]): string {
  return `[needs ${names.join(', ')}]`;
}

/** Inverts `formatNeeds` in a test's full name; unknown words are no requirement. Empty when none is declared. */
export function parseNeeds(fullName: string): Requirement[] {
  return [...fullName.matchAll(/\[needs ([^\]]*)\]/g)]
    .flatMap(([, list]) => (list ?? '').split(', '))
    .filter((name): name is Requirement => Object.hasOwn(requirements, name));
}

/** By its number in linux/capability.h; 19 is CAP_SYS_PTRACE. */
function hasCapability(number: number): boolean {
  try {
    const [, mask = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return ((BigInt(`0x${mask}`) >> BigInt(number)) & 1n) === 1n;
  } catch {
    return false;
  }
}

function canBuild(name: GoProgram): boolean {
  return onPath('go') && succeeds('go', ['list', '-m', moduleOf(name)]);
}

function succeeds(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore', timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}
