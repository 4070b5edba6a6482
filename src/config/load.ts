/**
 * Loads the configuration: the file, the environment over it, defaults below. Finds every problem before it gives up,
 * and reads nothing but the file and the secrets it points to.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { checkAccess } from './access-rules.ts';
import { assembleConfig } from './assembly.ts';
import type { Config } from './config.ts';
import { ConfigDocument } from './document.ts';
import { fileVariable, overlayEnvironment } from './environment.ts';
import { Findings } from './findings.ts';
import { checkFleet } from './fleet-rules.ts';
import { formatPath, type Path } from './path.ts';
import { ConfigError } from './problem.ts';
import { readProxies } from './proxy-environment.ts';
import { checkRedis } from './redis-rules.ts';
import { describeReadError, readReferencedFiles } from './referenced-file.ts';
import { checkSchema } from './schema-check.ts';
import { checkUpstreams } from './upstream-rules.ts';

export interface LoadOptions {
  /** `--config`; it must exist. Without it `CISTERN_CONFIG`, then `mirror.yml` in `cwd`, which may be missing. */
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  /** Absolute. */
  readonly cwd: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Sentences for the log: ignored `CISTERN_*` variables and choices that may surprise. */
  readonly warnings: readonly string[];
  /** Absolute path of the file that was read, or `defaults`. */
  readonly source: string;
}

const defaultFile = 'mirror.yml';

/** Errors: `ConfigError` with all problems. */
export async function loadConfig({ file, env, cwd }: LoadOptions): Promise<LoadedConfig> {
  const named = file ?? (env[fileVariable] || undefined);
  const path = resolve(cwd, named ?? defaultFile);
  const text = await readText(path, named);
  const document = new ConfigDocument(named ?? defaultFile, text ?? '');
  if (document.tree === undefined) throw new ConfigError(document.problems);

  const { tree, variables, warnings, ambiguous } = overlayEnvironment(document.tree, env);
  const findings = new Findings(document, tree, variables);
  const folder = text === undefined ? cwd : dirname(path);
  const baseOf = (setting: Path): string => (variables.has(formatPath(setting)) ? cwd : folder);
  const parsed = checkSchema(tree, findings);
  checkUpstreams(tree, findings);
  checkRedis(tree, findings);
  checkAccess(tree, findings);
  checkFleet(tree, findings);
  const files = await readReferencedFiles(tree, baseOf, findings);
  const proxy = readProxies(env, findings);
  for (const { variable, message } of ambiguous) findings.reportVariable(variable, message);
  const problems = findings.list();
  if (parsed === undefined || problems.length > 0) throw new ConfigError(problems);

  const assembly = assembleConfig(parsed, { files, baseOf, proxy });
  return {
    config: assembly.config,
    warnings: [...warnings, ...assembly.warnings],
    source: text === undefined ? 'defaults' : path,
  };
}

/** Undefined when nobody named a file and the default one isn't there. */
async function readText(path: string, named: string | undefined): Promise<string | undefined> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  } catch (error) {
    const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isAbsent && named === undefined) return undefined;
    const message = error instanceof TypeError ? 'expected UTF-8 text' : describeReadError(error);
    throw new ConfigError([{ origin: named ?? defaultFile, path: '', message }]);
  }
}
