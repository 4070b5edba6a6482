/**
 * The proxies that the environment names, as containerd, docker and podman read them: HTTPS_PROXY for https, HTTP_PROXY
 * for http, NO_PROXY for what is reached directly, in capitals or small. This machine itself is always reached directly.
 */
import type { ProxyConfig } from './config.ts';
import type { Findings } from './findings.ts';
import { parseProxyUrl } from './locator.ts';
import { ValueError } from './value-error.ts';

/** No proxy can mean the same by these as we do. */
const ownMachine: readonly string[] = ['localhost', '127.0.0.0/8', '::1'];

/** Undefined when there are none. */
export function readProxies(env: NodeJS.ProcessEnv, findings: Findings): ProxyConfig | undefined {
  const http = readProxy(env, 'HTTP_PROXY', findings);
  const https = readProxy(env, 'HTTPS_PROXY', findings);
  if (http === undefined && https === undefined) return undefined;
  const [, bypass = ''] = find(env, 'NO_PROXY') ?? [];
  return {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    bypass: [...ownMachine, ...bypass.split(/[\s,]+/).filter(entry => entry !== '')],
  };
}

function readProxy(env: NodeJS.ProcessEnv, name: string, findings: Findings): URL | undefined {
  const [variable = name, text] = find(env, name) ?? [];
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
function find(env: NodeJS.ProcessEnv, name: string): readonly [string, string] | undefined {
  for (const variable of [name, name.toLowerCase()]) {
    const text = env[variable];
    if (text !== undefined && text !== '') return [variable, text];
  }
  return undefined;
}
