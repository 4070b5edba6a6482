/**
 * docker-compose.yml as a tree whose every key is one that the Compose specification has and that is used here on
 * purpose: an unknown, misspelt or misplaced one fails. With what a selection of profiles and services starts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

export const composeFolder = join(import.meta.dirname, '../..');

const word = z.string().regex(/^[a-z0-9][a-z0-9_.-]*$/);
const duration = z.string().regex(/^\d+(?:ms|s|m|h)$/);

const service = z.strictObject({
  /** None: started by every choice. */
  profiles: z.array(word).min(1).optional(),
  image: z.string(),
  build: z.string().optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), z.string()).default({}),
  ports: z.array(z.string().regex(/^(?:\d+(?:\.\d+){3}:)?\d+:\d+$/)).default([]),
  volumes: z.array(z.string().regex(/^[^:]+:\/[^:]+(?::ro)?$/)).default([]),
  secrets: z.array(word).default([]),
  networks: z
    .strictObject({
      default: z.strictObject({ aliases: z.array(word) }).optional(),
      front: z
        .strictObject({ aliases: z.array(word).optional(), ipv4_address: z.ipv4().optional() })
        .optional(),
    })
    .optional(),
  depends_on: z
    .union([
      z.array(word).transform(names => new Map(names.map(name => [name, 'service_started']))),
      z
        .record(word, z.strictObject({ condition: z.enum(['service_started', 'service_healthy']) }))
        .transform(waits => new Map(Object.entries(waits).map(([name, { condition }]) => [name, condition]))),
    ])
    .default(new Map()),
  healthcheck: z
    .strictObject({
      test: z.array(z.string()),
      interval: duration,
      timeout: duration,
      retries: z.int().positive(),
    })
    .optional(),
  restart: z.literal('unless-stopped'),
  logging: z.strictObject({
    driver: z.literal('json-file'),
    options: z.strictObject({
      'max-size': z.string().regex(/^\d+[kmg]$/),
      'max-file': z.string().regex(/^\d+$/),
    }),
  }),
  stop_grace_period: duration.optional(),
  user: z
    .string()
    .regex(/^\d+:\d+$/)
    .optional(),
  read_only: z.boolean().optional(),
  tmpfs: z.array(z.string().startsWith('/')).optional(),
  cap_drop: z.array(z.string()).optional(),
  security_opt: z.array(z.string()).optional(),
});

export type Service = z.output<typeof service>;

const composeFile = z.strictObject({
  'x-mirror': z.unknown(),
  'x-logging': z.unknown(),
  services: z.record(word, service),
  secrets: z.record(word, z.strictObject({ file: z.string().startsWith('./') })).default({}),
  networks: z.record(
    word,
    z.strictObject({
      ipam: z.strictObject({ config: z.array(z.strictObject({ subnet: z.cidrv4() })) }),
    }),
  ),
  volumes: z.record(word, z.null()),
});

export type ComposeFile = z.output<typeof composeFile>;

/**
 * `variables`: what the shell that runs Compose has; `${NAME:-DEFAULT}` is the one form that is used here.
 * Errors: anything that the shape above doesn't know.
 */
export function readComposeFile(variables: Readonly<Record<string, string>> = {}): ComposeFile {
  const text = readFileSync(join(composeFolder, 'docker-compose.yml'), 'utf8');
  const filled = text.replaceAll(
    /\$\{(\w+):-([^}]*)\}/g,
    // JSON is YAML: an empty value would be null.
    (_, name: string, absent: string) => JSON.stringify(variables[name] || absent),
  );
  return composeFile.parse(parse(filled, { merge: true, uniqueKeys: true }));
}

/** The services that `docker compose --profile … up [NAME…]` starts: what is named, and what that waits for. */
export function startedBy(
  file: ComposeFile,
  profiles: readonly string[],
  names: readonly string[] = [],
): ReadonlyMap<string, Service> {
  const chosen = new Map(
    Object.entries(file.services).filter(
      ([, { profiles: own }]) => own === undefined || own.some(one => profiles.includes(one)),
    ),
  );
  if (names.length === 0) return chosen;
  const needed = new Set(names);
  for (const name of needed) for (const other of chosen.get(name)?.depends_on.keys() ?? []) needed.add(other);
  return new Map([...chosen].filter(([name]) => needed.has(name)));
}

/** Those that run Cistern. */
export function mirrorsAmong(services: ReadonlyMap<string, Service>): ReadonlyMap<string, Service> {
  return new Map([...services].filter(([, { image }]) => image === 'cistern'));
}
