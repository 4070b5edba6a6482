/**
 * What the environment sets over the file: `CISTERN_` and the path in capitals (`CISTERN_STORE_MAX_SIZE`), hosts with `_` for
 * everything that isn't a letter or a digit; and the proxies of HTTPS_PROXY, HTTP_PROXY and NO_PROXY. Empty counts as absent.
 */
import { canonicalHost, HUB } from '../oci/name.ts';
import { parseProxyUrl } from './address.ts';
import type { ProxyConfig } from './config.ts';
import type { Findings } from './findings.ts';
import { describeMisspelled, describeStray } from './hints/stray-variables.ts';
import { formatPath, isSection, type Path, type Problem, ValueError, valueAt } from './problem.ts';
import { configSchema } from './schema.ts';
import { readText, settingsOf } from './schema-check.ts';

/** Names the configuration file; not a setting. */
export const fileVariable = 'CISTERN_CONFIG';

/** Well-known registries. Without an upstream of that name in the file, a variable for it changes nothing. */
const wellKnownHosts: readonly string[] = [
  HUB,
  'ghcr.io',
  'quay.io',
  'registry.k8s.io',
  'gcr.io',
  'public.ecr.aws',
  'mcr.microsoft.com',
];

/** No proxy can mean the same by these as we do. */
const ownMachine: readonly string[] = ['localhost', '127.0.0.0/8', '::1'];

/** Sections that may be one value alone, in the file and as a variable, with the key that the value stands for. */
const shortForms: readonly { readonly section: Path; readonly key: string }[] = [
  { section: ['lru', 'redis'], key: 'url' },
  { section: ['http', 'tls'], key: 'auto' },
];

export interface Overlay {
  /** The file's tree with the variables' values in it. */
  readonly tree: unknown;
  /** By formatted path: the variable that set it. */
  readonly variables: ReadonlyMap<string, string>;
  readonly warnings: readonly Problem[];
  /** Variables that two configured hosts could mean. */
  readonly ambiguous: readonly { readonly variable: string; readonly message: string }[];
}

/** Unknown variables only warn: Kubernetes puts `CISTERN_PORT=tcp://…` into every pod. */
export function overlayEnvironment(fileTree: unknown, env: NodeJS.ProcessEnv): Overlay {
  const hosts = configuredHosts(fileTree);
  const settings = nameSettings(hosts, spellings);
  const unconfigured = nameSettings(
    wellKnownHosts.filter(host => !hosts.map(canonicalHost).includes(host)),
    host => [host],
  );
  const variables = new Map<string, string>();
  const names = [...settings.keys(), fileVariable];
  const warnings: Problem[] = [];
  const warn = (variable: string, message: string) =>
    warnings.push({ origin: `environment:${variable}`, path: '', message });
  const ambiguous: { variable: string; message: string }[] = [];
  let tree = fileTree;

  for (const [variable, text = ''] of Object.entries(env).toSorted(([one], [other]) =>
    one < other ? -1 : 1,
  )) {
    if (variable === fileVariable || text === '') continue;
    if (!variable.startsWith('CISTERN_')) {
      const message = describeMisspelled(variable, names);
      if (message !== undefined) warn(variable, message);
      continue;
    }
    const [path, other] = settings.get(variable) ?? [];
    const [knownPath] = unconfigured.get(variable) ?? [];
    if (path === undefined) {
      const host = knownPath?.[1];
      warn(variable, host === undefined ? describeStray(variable, text, names) : describeUnconfigured(host));
    } else if (other !== undefined) {
      ambiguous.push({
        variable,
        message: `means both ${formatPath(path)} and ${formatPath(other)}; set them in the file`,
      });
    } else {
      tree = withoutRival(
        withValue(expandShort(tree, path), path, readText(configSchema, path, text)),
        path,
        variables,
      );
      variables.set(formatPath(path), variable);
    }
  }
  return { tree, variables, warnings, ambiguous };
}

/**
 * As containerd, docker and podman read them, in capitals or small. This machine itself is always reached directly.
 * Undefined when there are none.
 */
export function readProxies(env: NodeJS.ProcessEnv, findings: Findings): ProxyConfig | undefined {
  const http = readProxy(env, 'HTTP_PROXY', findings);
  const https = readProxy(env, 'HTTPS_PROXY', findings);
  if (http === undefined && https === undefined) return undefined;
  const [, bypass = ''] = findVariable(env, 'NO_PROXY') ?? [];
  return {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    bypass: [...ownMachine, ...bypass.split(/[\s,]+/).filter(entry => entry !== '')],
  };
}

/** Keys as the file spells them; without a section for upstreams there is Docker Hub. */
function configuredHosts(tree: unknown): readonly string[] {
  const upstreams = valueAt(tree, ['upstreams']);
  return isSection(upstreams) ? Object.keys(upstreams) : [HUB];
}

/** `index.docker.io` in the file is also reached as DOCKER_IO. */
function spellings(host: string): readonly string[] {
  return [...new Set([host, canonicalHost(host)])];
}

/** `path`: of the setting that is to be set. */
function expandShort(tree: unknown, path: Path): unknown {
  const form = shortForms.find(({ section }) => formatPath(path).startsWith(`${formatPath(section)}.`));
  const value = form === undefined ? undefined : valueAt(tree, form.section);
  if (form === undefined || value === undefined || isSection(value)) return tree;
  return withValue(tree, form.section, { [form.key]: value });
}

/** Variable to the settings that it may mean: more than one when two hosts look alike in capitals. */
function nameSettings(
  hosts: readonly string[],
  spell: (host: string) => readonly string[],
): Map<string, readonly Path[]> {
  const named = new Map<string, readonly Path[]>();
  for (const path of settingsOf(configSchema, hosts)) {
    const [section, host, ...rest] = path;
    const written =
      section === 'upstreams' && typeof host === 'string'
        ? spell(host).map(name => [section, name, ...rest])
        : [path];
    for (const variable of new Set(written.map(variableFor)))
      named.set(variable, [...(named.get(variable) ?? []), path]);
  }
  for (const { section, key } of shortForms) named.set(variableFor(section), [[...section, key]]);
  return named;
}

function variableFor(path: Path): string {
  return `CISTERN_${path
    .join('_')
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]/g, '_')}`;
}

function withValue(tree: unknown, path: Path, value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (tree !== undefined && !isSection(tree)) return tree; // the file is wrong there, and that is reported
  return { ...tree, [key]: withValue(tree?.[key], rest, value) };
}

/** A secret from the environment takes the place of the file's, whichever of its two keys the file uses. */
function withoutRival(tree: unknown, path: Path, variables: ReadonlyMap<string, string>): unknown {
  const [, secret, suffix] = /^((?:sentinel_)?password|secret)(_file)?$/.exec(String(path.at(-1))) ?? [];
  if (secret === undefined) return tree;
  const rivalPath = [...path.slice(0, -1), suffix === undefined ? `${secret}_file` : secret];
  return variables.has(formatPath(rivalPath)) ? tree : withValue(tree, rivalPath, undefined);
}

function describeUnconfigured(host: string | number): string {
  return `ignored, because ${host} is not among the upstreams; add "${host}:" to them in the file`;
}

function readProxy(env: NodeJS.ProcessEnv, name: string, findings: Findings): URL | undefined {
  const [variable = name, text] = findVariable(env, name) ?? [];
  if (text === undefined) return undefined;
  try {
    return parseProxyUrl(text);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    findings.reportVariable(variable, error.message);
    return undefined;
  }
}

/** The name as it is set, and its value; an empty one counts as absent. */
function findVariable(env: NodeJS.ProcessEnv, name: string): readonly [string, string] | undefined {
  for (const variable of [name, name.toLowerCase()]) {
    const text = env[variable];
    if (text !== undefined && text !== '') return [variable, text];
  }
  return undefined;
}
