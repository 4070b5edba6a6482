/**
 * The rules of `lru` that hold between several keys: one way to the server, credentials complete and given once. They look
 * at the raw tree, so a bad value elsewhere hides none of them.
 */
import type { Findings } from './findings.ts';
import { isSection, valueAt } from './path.ts';

const ways = ['url', 'sentinels', 'cluster'] as const;
const above = ['lru', 'redis'] as const;

export function checkRedis(tree: unknown, findings: Findings): void {
  const redis = valueAt(tree, above);
  if (redis === undefined && valueAt(tree, ['lru', 'required']) === true)
    findings.report(['lru', 'required'], 'expected lru.redis with it, got none', 'key');
  if (!isSection(redis)) return;

  const isGiven = (key: string): boolean => redis[key] !== undefined;
  const refuse = (key: string, message: string): void => findings.report([...above, key], message, 'key');
  const given = ways.filter(isGiven);
  if (given.length === 0) findings.report(above, 'expected one of url, sentinels and cluster, got none');
  for (const key of given.slice(1))
    refuse(key, `expected one of url, sentinels and cluster, got ${given.join(' and ')}`);

  if (isGiven('sentinels') && !isGiven('sentinel_name'))
    refuse(
      'sentinels',
      'expected sentinel_name with it (the name that the Sentinels know the master by), got none',
    );
  if (given.length === 1 && !isGiven('sentinels')) {
    const own = ['sentinel_name', 'sentinel_username', 'sentinel_password', 'sentinel_password_file'];
    for (const key of own.filter(isGiven)) refuse(key, 'expected sentinels with it, got none');
  }
  if (isGiven('url')) {
    for (const [key, where] of [
      ['tls', 'rediss://'],
      ['database', 'redis://HOST/DATABASE'],
    ] as const)
      if (isGiven(key)) refuse(key, `expected it in the url, as ${where}`);
    const { url } = redis;
    const credentials = ['username', 'password', 'password_file'].filter(isGiven);
    if (typeof url === 'string' && url.includes('@'))
      for (const key of credentials)
        refuse(key, 'expected user and password in the url or in keys, got both');
  }
  if (isGiven('cluster') && isGiven('database') && redis['database'] !== 0)
    refuse('database', 'expected none with cluster: a Cluster has only database 0');
  for (const prefix of ['', 'sentinel_']) checkCredentials(prefix, isGiven, refuse);
}

function checkCredentials(
  prefix: string,
  isGiven: (key: string) => boolean,
  refuse: (key: string, message: string) => void,
): void {
  const [username, password, file] = [`${prefix}username`, `${prefix}password`, `${prefix}password_file`];
  if (isGiven(password) && isGiven(file)) refuse(file, `expected one of ${password} and ${file}, got both`);
  if (isGiven(username) && !isGiven(password) && !isGiven(file))
    refuse(username, `expected ${password} or ${file} with it, got neither`);
}
