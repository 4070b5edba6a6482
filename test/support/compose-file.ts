/**
 * docker-compose.yml as a tree whose every key is one that the Compose specification has and that is used here on
 * purpose: an unknown, misspelt or misplaced one fails. With what a selection of profiles starts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

export const composeFolder = join(import.meta.dirname, '../..');

const word = z.string().regex(/^[a-z0-9][a-z0-9_.-]*$/);
const duration = z.string().regex(/^\d+(?:ms|s|m|h)$/);

const service = z.strictObject({
  profiles: z.array(word).min(1),
  image: z.string(),
  build: z.string().optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), z.string()).default({}),
  ports: z.array(z.string().regex(/^(?:\d+(?:\.\d+){3}:)?\d+:\d+$/)).default([]),
  volumes: z.array(z.string().regex(/^[^:]+:\/[^:]+(?::ro)?$/)).default([]),
  secrets: z.array(word).default([]),
  networks: z.strictObject({ default: z.strictObject({ aliases: z.array(word) }) }).optional(),
  depends_on: z.array(word).default([]),
  healthcheck: z
    .strictObject({
      test: z.array(z.string()),
      interval: duration,
      timeout: duration,
      retries: z.int().positive(),
    })
    .optional(),
  restart: z.literal('unless-stopped'),
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
  services: z.record(word, service),
  secrets: z.record(word, z.strictObject({ file: z.string().startsWith('./') })).default({}),
  volumes: z.record(word, z.null()),
});

export type ComposeFile = z.output<typeof composeFile>;

/** Errors: anything that the shape above doesn't know. */
export function readComposeFile(): ComposeFile {
  const text = readFileSync(join(composeFolder, 'docker-compose.yml'), 'utf8');
  return composeFile.parse(parse(text, { merge: true, uniqueKeys: true }));
}

/** The services that `docker compose --profile … up` starts. */
export function startedBy(file: ComposeFile, profiles: readonly string[]): ReadonlyMap<string, Service> {
  return new Map(
    Object.entries(file.services).filter(([, { profiles: own }]) => own.some(one => profiles.includes(one))),
  );
}

/** Those that run Cistern. */
export function mirrorsAmong(services: ReadonlyMap<string, Service>): ReadonlyMap<string, Service> {
  return new Map([...services].filter(([, { image }]) => image === 'cistern'));
}
