/** From a request's name to a registry and a repository: the order of docs/behaviour.md, "Addressing", as a table. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RegistryError } from '../../../src/oci/error.ts';
import { isRepository } from '../../../src/oci/name.ts';
import { canonicalNameOf, Directory, HOSTED, type Located } from '../../../src/registry/directory.ts';
import { MemoryHostedRegistry } from '../../contract/memory-registry.ts';
import { MemoryRegistry } from '../../support/memory-registry.ts';

const registries = {
  'docker.io': new MemoryRegistry(),
  'ghcr.io': new MemoryRegistry(),
  'registry.lan:5000': new MemoryRegistry(),
};

const upstreams = Object.entries(registries).map(([key, registry]) => ({
  key,
  aliases: key === 'ghcr.io' ? ['containers.pkg.github.com', 'ghcr'] : [],
  registry,
}));

const hosted = new MemoryHostedRegistry();
const hostedPatterns = ['team/**', 'tools/*', 'single', '**/deep', 'localhost*/x', '*.lan/x'];

/** With the private registry, and without upstreams where `keys` is empty. */
function hosting(patterns = hostedPatterns, keys = Object.keys(registries)): Directory {
  return new Directory({
    upstreams: upstreams.filter(({ key }) => keys.includes(key)),
    ...(keys.includes('docker.io') && { defaultUpstream: 'docker.io' }),
    hosted: { patterns, registry: hosted },
    ownNames: ['mirror.lan:5000'],
  });
}

function directory(defaultUpstream = 'docker.io'): Directory {
  return new Directory({ upstreams, defaultUpstream, ownNames: ['Mirror.lan', 'mirror.lan:5000'] });
}

interface Case {
  readonly name: string;
  readonly ns?: string;
  readonly host?: string;
  /** `UPSTREAM REPOSITORY`, or the code of the refusal. */
  readonly leads: string;
}

test.each<Case>([
  // No ns, no host in the name: the default upstream; Hub's official images are under library/.
  { name: 'alpine', leads: 'docker.io library/alpine' },
  { name: 'library/alpine', leads: 'docker.io library/alpine' },
  { name: 'team/app', leads: 'docker.io team/app' },
  { name: 'a/b/c', leads: 'docker.io a/b/c' },
  { name: 'ghcr.io', leads: 'docker.io library/ghcr.io' },
  // A configured host in front.
  { name: 'ghcr.io/x/y', leads: 'ghcr.io x/y' },
  { name: 'ghcr.io/x', leads: 'ghcr.io x' },
  { name: 'docker.io/alpine', leads: 'docker.io library/alpine' },
  { name: 'index.docker.io/alpine', leads: 'docker.io library/alpine' },
  { name: 'registry-1.docker.io/team/app', leads: 'docker.io team/app' },
  { name: 'registry.lan:5000/x', leads: 'registry.lan:5000 x' },
  { name: 'containers.pkg.github.com/x', leads: 'ghcr.io x' },
  { name: 'ghcr/x', leads: 'ghcr.io x' },
  { name: 'ghcr.io/docker.io/x', leads: 'ghcr.io docker.io/x' },
  // What can only be a host, and isn't configured.
  { name: 'quay.io/x/y', leads: 'NAME_UNKNOWN' },
  { name: 'registry.lan/x', leads: 'NAME_UNKNOWN' },
  { name: 'registry.lan:5001/x', leads: 'NAME_UNKNOWN' },
  { name: 'localhost/x', leads: 'NAME_UNKNOWN' },
  { name: 'localhost:5000/x', leads: 'NAME_UNKNOWN' },
  { name: '169.254.169.254/x', leads: 'NAME_UNKNOWN' },
  { name: 'mirror.lan/x', leads: 'NAME_UNKNOWN' },
  // ns says it all, whatever the name looks like.
  { name: 'x/y', ns: 'ghcr.io', leads: 'ghcr.io x/y' },
  { name: 'x', ns: 'ghcr.io', leads: 'ghcr.io x' },
  { name: 'alpine', ns: 'docker.io', leads: 'docker.io library/alpine' },
  { name: 'alpine', ns: 'Index.Docker.IO', leads: 'docker.io library/alpine' },
  { name: 'x', ns: 'registry.lan:5000', leads: 'registry.lan:5000 x' },
  { name: 'ghcr.io/x', ns: 'docker.io', leads: 'docker.io ghcr.io/x' },
  { name: 'quay.io/x', ns: 'ghcr.io', leads: 'ghcr.io quay.io/x' },
  // The host in the path as well, as k3s and rke2 users write it: left off when it means the same upstream.
  { name: 'ghcr.io/x/y', ns: 'ghcr.io', leads: 'ghcr.io x/y' },
  { name: 'containers.pkg.github.com/x', ns: 'ghcr.io', leads: 'ghcr.io x' },
  { name: 'docker.io/alpine', ns: 'index.docker.io', leads: 'docker.io library/alpine' },
  { name: 'registry.lan:5000/x', ns: 'registry.lan:5000', leads: 'registry.lan:5000 x' },
  { name: 'ghcr/x', ns: 'ghcr.io', leads: 'ghcr.io ghcr/x' },
  { name: 'ghcr.io/ghcr.io/x', ns: 'ghcr.io', leads: 'ghcr.io ghcr.io/x' },
  { name: 'ghcr.io', ns: 'ghcr.io', leads: 'ghcr.io ghcr.io' },
  { name: 'x', ns: 'quay.io', leads: 'NAME_UNKNOWN' },
  { name: 'ghcr.io/x', ns: 'quay.io', leads: 'NAME_UNKNOWN' },
  { name: 'x', ns: 'registry.lan', leads: 'NAME_UNKNOWN' },
  { name: 'x', ns: 'ghcr.io/x', leads: 'NAME_UNKNOWN' },
  { name: 'x', ns: 'http://ghcr.io', leads: 'NAME_UNKNOWN' },
  { name: 'x', ns: '__proto__', leads: 'NAME_UNKNOWN' },
  { name: 'registry.lan:5000/x', ns: 'ghcr.io', leads: 'NAME_INVALID' },
  // An ns that is this mirror itself is as good as none.
  { name: 'alpine', ns: '', leads: 'docker.io library/alpine' },
  { name: 'alpine', ns: 'mirror.lan', leads: 'docker.io library/alpine' },
  { name: 'ghcr.io/x', ns: 'MIRROR.lan:5000', leads: 'ghcr.io x' },
  { name: 'alpine', ns: '10.0.0.1:5000', host: '10.0.0.1:5000', leads: 'docker.io library/alpine' },
  { name: 'ghcr.io/x', ns: 'Localhost:5000', host: 'localhost:5000', leads: 'ghcr.io x' },
  { name: 'ghcr.io/x', ns: 'localhost:5000', host: 'LOCALHOST:5000', leads: 'ghcr.io x' },
  { name: 'alpine', ns: '10.0.0.1:5000', host: '10.0.0.1', leads: 'NAME_UNKNOWN' },
  { name: 'alpine', ns: '10.0.0.1:5000', leads: 'NAME_UNKNOWN' },
])('$name with ns $ns at host $host leads to $leads', ({ name, ns, host, leads }) => {
  let led: string;
  try {
    const { upstream, repository, registry } = directory().find(name, ns, host);
    expect(registry).toBe(registries[upstream as keyof typeof registries]);
    led = `${upstream} ${repository}`;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    led = error.code;
  }
  expect(led).toBe(leads);
});

function leads(found: () => Located): string {
  try {
    const { upstream, repository, writer, deleter } = found();
    expect([writer, deleter]).toEqual(upstream === HOSTED ? [hosted, hosted] : [undefined, undefined]);
    return `${upstream} ${repository}`;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return error.code;
  }
}

test.each<Case>([
  // Hosted names go before the default upstream's.
  { name: 'team/app', leads: 'hosted team/app' },
  { name: 'team/a/b', leads: 'hosted team/a/b' },
  { name: 'tools/x', leads: 'hosted tools/x' },
  { name: 'tools/x/y', leads: 'docker.io tools/x/y' },
  { name: 'single', leads: 'hosted single' },
  { name: 'a/b/deep', leads: 'hosted a/b/deep' },
  { name: 'alpine', leads: 'docker.io library/alpine' },
  // Upstream keys and aliases go before hosted names, and hosts are never hosted.
  { name: 'ghcr.io/a/deep', leads: 'ghcr.io a/deep' },
  { name: 'ghcr/a/deep', leads: 'ghcr.io a/deep' },
  { name: 'docker.io/team/app', leads: 'docker.io team/app' },
  { name: 'quay.io/a/deep', leads: 'NAME_UNKNOWN' },
  { name: 'localhost/x', leads: 'NAME_UNKNOWN' },
  { name: 'localhostx/x', leads: 'hosted localhostx/x' },
  { name: 'a.lan/x', leads: 'NAME_UNKNOWN' },
  { name: 'registry.lan:5000/team/app', leads: 'registry.lan:5000 team/app' },
  // Never by the ns of an upstream; by one that is this mirror itself.
  { name: 'team/app', ns: 'docker.io', leads: 'docker.io team/app' },
  { name: 'team/app', ns: 'ghcr.io', leads: 'ghcr.io team/app' },
  { name: 'team/app', ns: 'hosted', leads: 'NAME_UNKNOWN' },
  { name: 'team/app', ns: 'mirror.lan:5000', leads: 'hosted team/app' },
  { name: 'team/app', ns: '10.0.0.1:5000', host: '10.0.0.1:5000', leads: 'hosted team/app' },
])('hosting: $name, ns $ns, host $host leads to $leads', ({ name, ns, host, leads: to }) => {
  expect(leads(() => hosting().find(name, ns, host))).toBe(to);
});

test('"**" and no upstreams are a plain private registry', () => {
  const plain = hosting(['**'], []);
  expect(
    ['alpine', 'team/app', 'ghcr.io/x', 'ghcr.io', 'localhost/x', 'ghcr/x'].map(name =>
      leads(() => plain.find(name, undefined, undefined)),
    ),
  ).toEqual([
    'hosted alpine',
    'hosted team/app',
    'NAME_UNKNOWN',
    'NAME_UNKNOWN',
    'NAME_UNKNOWN',
    'hosted ghcr/x',
  ]);
  expect(leads(() => plain.find('alpine', 'docker.io', undefined))).toBe('NAME_UNKNOWN');
  expect(leads(() => hosting(['team/**'], []).find('alpine', undefined, undefined))).toBe('NAME_UNKNOWN');
});

test("a hosted name that is an alias is the upstream's, or none", () => {
  expect(leads(() => hosting(['**']).find('ghcr', undefined, undefined))).toBe('docker.io library/ghcr');
});

test('canonical names of hosted repositories have no host', () => {
  expect(canonicalNameOf(hosting().find('team/app', undefined, undefined))).toBe('team/app');
  expect(canonicalNameOf(hosting().find('alpine', undefined, undefined))).toBe('docker.io/library/alpine');
});

test('another default upstream gets the names as they are', () => {
  expect(directory('ghcr.io').find('alpine', undefined, undefined)).toMatchObject({
    upstream: 'ghcr.io',
    repository: 'alpine',
  });
});

test('the default upstream may be named by an alias', () => {
  expect(directory('index.docker.io').find('alpine', undefined, undefined).upstream).toBe('docker.io');
});

test('a default upstream that is not configured is a mistake at start', () => {
  expect(() => directory('quay.io')).toThrow('default_upstream');
});

test('a refusal names the host, shortened, and is 404', () => {
  const host = `${'x'.repeat(300)}.lan`;
  try {
    directory().find('x', host, undefined);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ status: 404, message: expect.stringContaining('"xxx') });
    expect(String(error).length).toBeLessThan(300);
  }
});

test('whatever is asked for, the answer is a configured upstream with a checked name, or a refusal', () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('ghcr.io', 'docker.io', 'x', '..', '%2e', 'localhost', 'a/../b', 'A/B', 'ghcr.io/', '/x'),
  );
  const name = fc.oneof(
    text,
    fc.array(text, { minLength: 2, maxLength: 3 }).map(parts => parts.join('/')),
  );
  fc.assert(
    fc.property(
      name,
      fc.option(text, { nil: undefined }),
      fc.option(text, { nil: undefined }),
      (asked, ns, host) => {
        try {
          const { upstream, repository } = directory().find(asked, ns, host);
          expect(Object.keys(registries)).toContain(upstream);
          expect(isRepository(repository)).toBe(true);
        } catch (error) {
          expect(['NAME_UNKNOWN', 'NAME_INVALID']).toContain(error instanceof RegistryError && error.code);
        }
      },
    ),
    { numRuns: 500 },
  );
});
