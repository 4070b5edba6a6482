/**
 * The `REGISTRY_…` variables of registry:2, so that its `docker run` lines work with the image swapped (docs/howto-push.md, "Coming from
 * registry:2"). They stand below the file, and the file below `CISTERN_…`. Without a remote URL they ask for a plain private
 * registry, with one for a mirror of that registry alone.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalHost, HUB } from '../oci/name.ts';
import { formatPath, isSection, type Path, type Problem, valueAt } from './problem.ts';

export interface RegistryOverlay {
  /** The file's tree, with what the variables say where it says nothing. */
  readonly tree: unknown;
  /** By formatted path: the variable that set it. */
  readonly variables: ReadonlyMap<string, string>;
  readonly warnings: readonly Problem[];
  /** What this version can't do, and must not leave out silently. */
  readonly refused: readonly { readonly variable: string; readonly message: string }[];
}

interface Setting {
  readonly path: Path;
  readonly value: unknown;
  readonly variable: string;
  /** No variable says it: it is what registry:2 is. */
  readonly isImplied?: true;
}

const prefix = 'REGISTRY_';
/** Of a Kubernetes service named `registry`, in every pod of its namespace. */
const fromKubernetes = /^REGISTRY_(?:PORT|SERVICE)(?:_|$)/;
/** What must not be left out silently: who may connect, and a certificate that would have to be fetched. */
const missing: readonly (readonly [RegExp, string])[] = [
  [/^REGISTRY_AUTH_(?!HTPASSWD_)/, later('logins but those of htpasswd', 'REGISTRY_AUTH_…')],
  [/^REGISTRY_AUTH$/, later('logins but those of htpasswd', 'REGISTRY_AUTH')],
  [/^REGISTRY_HTTP_TLS_CLIENTCAS/, 'write http.tls.client_ca into mirror.yml instead'],
  [/^REGISTRY_HTTP_TLS_LETSENCRYPT/, later("Let's Encrypt", 'REGISTRY_HTTP_TLS_LETSENCRYPT_…')],
];
/** Understood, and without a meaning here: upload URLs need no signature, files are the only storage, a realm is a place for tokens. */
const meaningless: ReadonlySet<string> = new Set([
  'REGISTRY_HTTP_SECRET',
  'REGISTRY_STORAGE=filesystem',
  'REGISTRY_AUTH=htpasswd',
  'REGISTRY_AUTH=none',
  'REGISTRY_AUTH_HTPASSWD_REALM',
]);

const names = {
  address: 'REGISTRY_HTTP_ADDR',
  certificate: 'REGISTRY_HTTP_TLS_CERTIFICATE',
  key: 'REGISTRY_HTTP_TLS_KEY',
  root: 'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY',
  deletes: 'REGISTRY_STORAGE_DELETE_ENABLED',
  remote: 'REGISTRY_PROXY_REMOTEURL',
  username: 'REGISTRY_PROXY_USERNAME',
  password: 'REGISTRY_PROXY_PASSWORD',
  auth: 'REGISTRY_AUTH',
  htpasswd: 'REGISTRY_AUTH_HTPASSWD_PATH',
} as const;
const known: ReadonlySet<string> = new Set(Object.values(names).filter(name => name !== names.auth));

/** Empty variables count as absent. */
export function overlayRegistryEnvironment(fileTree: unknown, env: NodeJS.ProcessEnv): RegistryOverlay {
  const warnings: Problem[] = [];
  const refused: { variable: string; message: string }[] = [];
  const warn = (variable: string, message: string): void => {
    warnings.push({ origin: `environment:${variable}`, path: '', message });
  };
  let isMeant = false;
  for (const [variable, text = ''] of Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!variable.startsWith(prefix) || text === '' || fromKubernetes.test(variable)) continue;
    const isIgnored = meaningless.has(variable) || meaningless.has(`${variable}=${text}`);
    const [, message] = isIgnored ? [] : (missing.find(([pattern]) => pattern.test(variable)) ?? []);
    if (message !== undefined) refused.push({ variable, message });
    else if (isIgnored || known.has(variable)) isMeant = true;
    else warn(variable, 'ignored, this variable of registry:2 has no setting here');
  }
  const variables = new Map<string, string>();
  let tree = fileTree;
  for (const { path, value, variable, isImplied } of isMeant ? settingsOf(fileTree, env) : []) {
    const decided = path[1] === 'tls' ? path.slice(0, 2) : path; // never one file's certificate with another one's key
    if (valueAt(fileTree, decided) !== undefined) {
      if (isImplied !== true) warn(variable, `ignored, because the file sets ${formatPath(decided)}`);
      continue;
    }
    tree = withValue(tree, path, value);
    variables.set(formatPath(path), variable);
  }
  return { tree, variables, warnings, refused };
}

/** The sentence for a folder that registry:2 has filled. Undefined: it has not. */
export async function describeOldStorage(path: string): Promise<string | undefined> {
  const found = await stat(join(path, 'docker', 'registry', 'v2', 'repositories')).catch(() => undefined); // the store says what is wrong with it
  if (found?.isDirectory() !== true) return undefined;
  return `it holds images of registry:2, which are left as they are; bring them in with: cistern import --from ${path}`;
}

function settingsOf(fileTree: unknown, env: NodeJS.ProcessEnv): readonly Setting[] {
  const { address, root, deletes, auth, htpasswd } = names;
  const remote = env[names.remote] ?? '';
  const hasUsers = Boolean(env[htpasswd]) && env[auth] !== 'none';
  const isDeleting = env[deletes] === 'true' && remote === '';
  const rules = rulesOf({ hasUsers, isDeleting, isMirror: remote !== '' });
  const decides = hasUsers ? htpasswd : deletes;
  return [
    ...(remote === '' ? privateRegistry(env) : mirrorOf(remote, env)),
    ...(env[address] ? [{ path: ['http', 'listen'], value: env[address], variable: address }] : []),
    ...[names.certificate, names.key].flatMap(variable => {
      const value = env[variable];
      const key = variable === names.key ? 'key' : 'certificate';
      return value ? [{ path: ['http', 'tls', key], value, variable }] : [];
    }),
    ...(env[root] ? [{ path: ['store', 'path'], value: env[root], variable: root }] : []),
    ...(hasUsers ? [{ path: ['access', 'htpasswd'], value: env[htpasswd], variable: htpasswd }] : []),
    ...(rules !== undefined && valueAt(fileTree, ['access']) === undefined
      ? [{ path: ['access', 'rules'], value: rules, variable: decides }]
      : []),
  ];
}

/** As in registry:2, every user may do everything that is on, and where there are users no one else may anything. */
function rulesOf(registry: {
  readonly hasUsers: boolean;
  readonly isDeleting: boolean;
  readonly isMirror: boolean;
}): readonly object[] | undefined {
  const { hasUsers, isDeleting, isMirror } = registry;
  const users = [hasUsers ? '*' : 'anonymous'];
  if (isDeleting) return [{ repositories: ['**'], users, actions: ['pull', 'push', 'delete'] }];
  return hasUsers && isMirror ? [{ repositories: ['**'], users, actions: ['pull'] }] : undefined;
}

function privateRegistry(env: NodeJS.ProcessEnv): readonly Setting[] {
  const variable =
    Object.keys(env).find(name => name.startsWith(prefix) && !fromKubernetes.test(name)) ?? prefix;
  return [
    { path: ['hosted', 'repositories'], value: ['**'], variable, isImplied: true },
    { path: ['upstreams'], value: {}, variable, isImplied: true },
  ];
}

/** That upstream alone. Docker Hub goes by its usual name. */
function mirrorOf(remote: string, env: NodeJS.ProcessEnv): readonly Setting[] {
  const host = URL.canParse(remote) ? canonicalHost(new URL(remote).host) : undefined;
  const username = env[names.username];
  const password = env[names.password];
  const entry = {
    url: remote,
    ...(username && { username }),
    ...(password && { password }),
  };
  return [{ path: ['upstreams'], value: { [host ?? HUB]: entry }, variable: names.remote }]; // a bad URL is reported at its place
}

function later(feature: string, variables: string): string {
  return `this version has no ${feature} yet, and going on without would be less safe: remove ${variables}, or wait for the version that has them`;
}

function withValue(tree: unknown, path: Path, value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (tree !== undefined && tree !== null && !isSection(tree)) return tree; // the file is wrong there, and that is reported
  return { ...tree, [key]: withValue(isSection(tree) ? tree[key] : undefined, rest, value) };
}
