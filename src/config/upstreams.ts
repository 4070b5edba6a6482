/**
 * The `upstreams` section: the rules between its keys, and the configuration of each upstream. The rules read the raw tree,
 * so that a bad value elsewhere hides nothing; kinds of values are in `schema.ts`.
 */
import { canonicalHost, HUB } from '../oci/name.ts';
import { parseHost, parseRegistryHost } from './address.ts';
import type { ProxyConfig, UpstreamConfig } from './config.ts';
import type { Findings } from './findings.ts';
import { formatPath, isSection, type Path, ValueError, valueAt } from './problem.ts';
import type { ParsedUpstream } from './schema.ts';
import { hostsAny } from './sections/hosted.ts';
import { formatSuggestion } from './suggestion.ts';
import { assembleCredentials, type CredentialFiles, checkCredentials } from './upstream-credentials.ts';

type Section = Readonly<Record<string, unknown>>;

export function checkUpstreams(tree: unknown, findings: Findings): void {
  const upstreams = valueAt(tree, ['upstreams']);
  if (upstreams !== undefined && !isSection(upstreams)) return;
  if (upstreams !== undefined && Object.keys(upstreams).length === 0) {
    if (!hostsAny(tree))
      findings.report(['upstreams'], 'needs at least one upstream, or hosted.repositories');
    else if (valueAt(tree, ['default_upstream']) !== undefined)
      findings.report(['default_upstream'], 'there are no upstreams');
    return;
  }
  const pathsByHost = checkHosts(upstreams ?? { [HUB]: {} }, findings);
  for (const [key, entry] of Object.entries(upstreams ?? {})) {
    if (!isSection(entry)) continue;
    const path = ['upstreams', key];
    checkCredentials(path, entry, findings);
  }
  checkDefault(
    tree,
    new Set([...pathsByHost].filter(([, path]) => path.length === 2).map(([host]) => host)),
    findings,
  );
  checkOwnNames(tree, pathsByHost, findings);
}

/**
 * `writtenKey`: as in the file. `files`: those that keys name.
 * `environmentProxy`: for an upstream that names no proxy of its own.
 */
export function assembleUpstream(
  writtenKey: string,
  parsed: ParsedUpstream,
  files: CredentialFiles,
  environmentProxy: ProxyConfig | undefined,
): UpstreamConfig {
  const key = canonicalHost(writtenKey);
  const [url = new URL(key === HUB ? 'https://registry-1.docker.io' : `https://${key}`), ...fallbacks] =
    parsed.url ?? [];
  const proxy = parsed.proxy === undefined ? environmentProxy : ownProxy(parsed.proxy);
  const path = ['upstreams', writtenKey];
  const ca = files.texts.get(formatPath([...path, 'ca_file']));
  const aliases = new Set(parsed.aliases.map(canonicalHost));
  aliases.delete(key); // what every upstream of that key is called anyway
  return {
    key,
    url,
    fallbacks,
    ...assembleCredentials(path, parsed, files),
    ...(parsed.prefix === undefined ? {} : { prefix: parsed.prefix }),
    share: parsed.share,
    ...(ca === undefined ? {} : { ca }),
    insecure: parsed.insecure,
    ip: parsed.ip,
    ...(proxy === undefined ? {} : { proxy }),
    tokenHosts: parsed.token_hosts,
    aliases: [...aliases],
    allow: parsed.allow,
    deny: parsed.deny,
    finish: parsed.finish,
    maxTransfers: parsed.max_transfers,
    timeouts: {
      connectMs: parsed.timeouts.connect,
      firstByteMs: parsed.timeouts.first_byte,
      stallMs: parsed.timeouts.stall,
      giveUpMs: parsed.timeouts.give_up,
      minRate: parsed.timeouts.min_rate,
    },
  };
}

/**
 * Docker Hub where it is configured, as clients expect for names without a host; else the first of the file. Undefined:
 * there are no upstreams.
 */
export function chooseDefaultUpstream(
  keys: readonly string[],
  given: string | undefined,
): string | undefined {
  if (given !== undefined) return canonicalHost(given);
  return keys.includes(HUB) ? HUB : keys[0];
}

/** Every host that means an upstream, to the path that says so. */
function checkHosts(upstreams: Section, findings: Findings): ReadonlyMap<string, Path> {
  const pathsByHost = new Map<string, Path>();
  for (const key of Object.keys(upstreams)) {
    const path = ['upstreams', key];
    const host = readHost(key, parseRegistryHost, message => findings.report(path, message, 'key'));
    if (host === undefined) continue;
    const earlier = pathsByHost.get(host);
    if (earlier === undefined) pathsByHost.set(host, path);
    else findings.report(path, `the same upstream as ${earlier[1]}; write it once`, 'key');
  }
  for (const [key, entry] of Object.entries(upstreams)) {
    const aliases = valueAt(entry, ['aliases']);
    for (const [index, alias] of (Array.isArray(aliases) ? aliases : []).entries()) {
      const path = ['upstreams', key, 'aliases', index];
      const host = readHost(alias, parseRegistryHost); // the schema reports a bad one
      const earlier = host === undefined ? undefined : pathsByHost.get(host);
      if (earlier !== undefined && earlier[1] !== key) {
        findings.report(
          path,
          `${host} already means the upstream ${earlier[1]}; an alias belongs to one upstream`,
        );
      } else if (host !== undefined && earlier === undefined) pathsByHost.set(host, path);
    }
  }
  return pathsByHost;
}

function checkDefault(tree: unknown, hosts: ReadonlySet<string>, findings: Findings): void {
  const host = readHost(valueAt(tree, ['default_upstream']), parseRegistryHost);
  if (host === undefined || hosts.has(host)) return;
  const hint = formatSuggestion(host, hosts);
  findings.report(
    ['default_upstream'],
    `${host} is not one of the upstreams (${[...hosts].join(', ')})${hint}`,
  );
}

/** A name of this mirror that is an upstream's too would turn every request for that upstream into one for the default. */
function checkOwnNames(tree: unknown, pathsByHost: ReadonlyMap<string, Path>, findings: Findings): void {
  const names = valueAt(tree, ['http', 'names']);
  const publicUrl = valueAt(tree, ['http', 'public_url']);
  const own: [Path, unknown][] = (Array.isArray(names) ? names : []).map((name, index) => [
    ['http', 'names', index],
    name,
  ]);
  if (typeof publicUrl === 'string' && URL.canParse(publicUrl))
    own.push([['http', 'public_url'], new URL(publicUrl).host]);
  checkLoops(tree, new Set(own.map(([, name]) => readHost(name, parseHost))), findings);
  for (const [path, name] of own) {
    const host = readHost(name, parseHost);
    const upstream = host === undefined ? undefined : pathsByHost.get(canonicalHost(host))?.[1];
    if (upstream !== undefined)
      findings.report(path, `${host} means the upstream ${upstream}, so it cannot be a name of this mirror`);
  }
}

/** A mirror that is its own upstream asks itself until the deadline. */
function checkLoops(tree: unknown, ownNames: ReadonlySet<string | undefined>, findings: Findings): void {
  const upstreams = valueAt(tree, ['upstreams']);
  for (const [key, entry] of Object.entries(isSection(upstreams) ? upstreams : {})) {
    const given = valueAt(entry, ['url']);
    const urls = Array.isArray(given) ? given.entries() : [[undefined, given] as const];
    for (const [index, url] of urls) {
      if (typeof url !== 'string' || !URL.canParse(url) || !ownNames.has(new URL(url).host)) continue;
      const path = ['upstreams', key, 'url', ...(index === undefined ? [] : [index])];
      findings.report(path, `${new URL(url).host} is this mirror itself; give another registry`);
    }
  }
}

/** The canonical host that `value` means; undefined when `parse` refuses it. */
function readHost(
  value: unknown,
  parse: (value: unknown) => string,
  report: (message: string) => void = () => {},
): string | undefined {
  try {
    return canonicalHost(parse(value));
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    report(error.message);
    return undefined;
  }
}

/** Everything of that upstream goes through it: NO_PROXY belongs to the environment's proxies. */
function ownProxy(proxy: URL | 'none'): ProxyConfig | undefined {
  return proxy === 'none' ? undefined : { http: proxy, https: proxy, bypass: [] };
}
