/**
 * The rules of a configuration that hold between several keys: one upstream per host and alias, credentials complete
 * and shared on purpose, a default upstream that exists, own names that no upstream has. They look at the raw tree,
 * so a bad value elsewhere hides none of them; kinds of values are the schema's business.
 */
import { canonicalHost, HUB } from '../oci/name.ts';
import { parseHost, parseRegistryHost } from './address.ts';
import type { Findings } from './findings.ts';
import { isSection, type Path, valueAt } from './path.ts';
import { formatSuggestion } from './suggestion.ts';
import { ValueError } from './value-error.ts';

type Section = Readonly<Record<string, unknown>>;

export function checkUpstreams(tree: unknown, findings: Findings): void {
  const upstreams = valueAt(tree, ['upstreams']);
  if (upstreams !== undefined && !isSection(upstreams)) return;
  if (upstreams !== undefined && Object.keys(upstreams).length === 0) {
    findings.report(
      ['upstreams'],
      'expected at least one upstream, got none (this version has no hosted repositories yet)',
    );
    return;
  }
  const claims = checkHosts(upstreams ?? { [HUB]: {} }, findings);
  for (const [key, entry] of Object.entries(upstreams ?? {})) {
    if (isSection(entry)) checkCredentials(['upstreams', key], entry, findings);
  }
  checkDefault(
    tree,
    new Set([...claims].filter(([, path]) => path.length === 2).map(([host]) => host)),
    findings,
  );
  checkOwnNames(tree, claims, findings);
}

/** Every host that means an upstream, to the path that says so. */
function checkHosts(upstreams: Section, findings: Findings): ReadonlyMap<string, Path> {
  const claims = new Map<string, Path>();
  for (const key of Object.keys(upstreams)) {
    const path = ['upstreams', key];
    const host = readHost(key, message => findings.report(path, message, 'key'));
    if (host === undefined) continue;
    const earlier = claims.get(host);
    if (earlier === undefined) claims.set(host, path);
    else findings.report(path, `the same upstream as ${earlier[1]}; write it once`, 'key');
  }
  for (const [key, entry] of Object.entries(upstreams)) {
    const aliases = valueAt(entry, ['aliases']);
    for (const [index, alias] of (Array.isArray(aliases) ? aliases : []).entries()) {
      const path = ['upstreams', key, 'aliases', index];
      const host = readHost(alias); // its grammar is the schema's business
      const earlier = host === undefined ? undefined : claims.get(host);
      if (earlier !== undefined && earlier[1] !== key) {
        findings.report(
          path,
          `${host} already means the upstream ${earlier[1]}; an alias belongs to one upstream`,
        );
      } else if (host !== undefined && earlier === undefined) claims.set(host, path);
    }
  }
  return claims;
}

function checkCredentials(path: Path, entry: Section, findings: Findings): void {
  const { username, password, password_file: passwordFile } = entry;
  const given = ['username', 'password', 'password_file'].find(key => entry[key] !== undefined);
  if (given === undefined) return;
  if (password !== undefined && passwordFile !== undefined) {
    findings.report(
      [...path, 'password_file'],
      'expected one of password and password_file, got both',
      'key',
    );
  }
  if (username === undefined)
    findings.report([...path, given], 'expected a username with it, got none', 'key');
  if (username !== undefined && password === undefined && passwordFile === undefined) {
    findings.report([...path, 'username'], 'expected password or password_file with it, got neither', 'key');
  }
}

function checkDefault(tree: unknown, hosts: ReadonlySet<string>, findings: Findings): void {
  const host = readHost(valueAt(tree, ['default_upstream']));
  if (host === undefined || hosts.has(host)) return;
  const hint = formatSuggestion(host, hosts);
  findings.report(
    ['default_upstream'],
    `expected one of the upstreams (${[...hosts].join(', ')}), got ${host}${hint}`,
  );
}

/** A name of this mirror that is an upstream's too would turn every request for that upstream into one for the default. */
function checkOwnNames(tree: unknown, claims: ReadonlyMap<string, Path>, findings: Findings): void {
  const names = valueAt(tree, ['http', 'names']);
  const publicUrl = valueAt(tree, ['http', 'public_url']);
  const own: [Path, unknown][] = (Array.isArray(names) ? names : []).map((name, index) => [
    ['http', 'names', index],
    name,
  ]);
  if (typeof publicUrl === 'string' && URL.canParse(publicUrl))
    own.push([['http', 'public_url'], new URL(publicUrl).host]);
  checkLoops(tree, new Set(own.map(([, name]) => readName(name))), findings);
  for (const [path, name] of own) {
    const host = readName(name);
    const upstream = host === undefined ? undefined : claims.get(canonicalHost(host))?.[1];
    if (upstream !== undefined)
      findings.report(
        path,
        `expected a name of this mirror, got ${host}, which means the upstream ${upstream}`,
      );
  }
}

/** A mirror whose upstream is itself asks itself until the time is over. */
function checkLoops(tree: unknown, ownNames: ReadonlySet<string | undefined>, findings: Findings): void {
  const upstreams = valueAt(tree, ['upstreams']);
  for (const [key, entry] of Object.entries(isSection(upstreams) ? upstreams : {})) {
    const given = valueAt(entry, ['url']);
    const urls = Array.isArray(given) ? given.entries() : [[undefined, given] as const];
    for (const [index, url] of urls) {
      if (typeof url !== 'string' || !URL.canParse(url) || !ownNames.has(new URL(url).host)) continue;
      const path = ['upstreams', key, 'url', ...(index === undefined ? [] : [index])];
      findings.report(
        path,
        `expected another registry, got ${new URL(url).host}, which is this mirror itself`,
      );
    }
  }
}

function readHost(value: unknown, report: (message: string) => void = () => {}): string | undefined {
  return value === undefined ? undefined : read(value, parseRegistryHost, report);
}

function readName(value: unknown): string | undefined {
  return read(value, parseHost, () => {});
}

function read(
  value: unknown,
  parse: (value: unknown) => string,
  report: (message: string) => void,
): string | undefined {
  try {
    return canonicalHost(parse(value));
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    report(error.message);
    return undefined;
  }
}
