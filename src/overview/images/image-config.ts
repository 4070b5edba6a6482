/**
 * The config of an image (OCI image-spec "Image Configuration") as the page shows it. It is foreign text: each field is looked at before it is
 * used, what has another type is left out, and nothing is longer than a page can show.
 */
import type { ImageAnswer, ImageConfig } from '../../http/api/schema/images.ts';

type History = NonNullable<ImageAnswer['manifest']>['history'];

export interface ReadConfig {
  readonly config: ImageConfig;
  /** The oldest first, as in the file. */
  readonly history: History;
}

const maxEntries = 500;
const maxText = 4096;

/** Undefined: it is no image's config. */
export function readConfig(value: unknown): ReadConfig | undefined {
  if (typeof fieldOf(value, 'architecture') !== 'string' && typeof fieldOf(value, 'rootfs') !== 'object')
    return undefined;
  const settings = fieldOf(value, 'config');
  const config: ImageConfig = {
    createdAt: textOf(fieldOf(value, 'created')),
    author: textOf(fieldOf(value, 'author')),
    user: textOf(fieldOf(settings, 'User')),
    workingDir: textOf(fieldOf(settings, 'WorkingDir')),
    entrypoint: textsOf(fieldOf(settings, 'Entrypoint')),
    command: textsOf(fieldOf(settings, 'Cmd')),
    env: textsOf(fieldOf(settings, 'Env')),
    ports: keysOf(fieldOf(settings, 'ExposedPorts')),
    volumes: keysOf(fieldOf(settings, 'Volumes')),
    labels: Object.fromEntries(
      entriesOf(fieldOf(settings, 'Labels')).flatMap(([key, label]) =>
        typeof label === 'string' ? [[cut(key), cut(label)]] : [],
      ),
    ),
  };
  const steps = fieldOf(value, 'history');
  const history = (Array.isArray(steps) ? steps : []).slice(0, maxEntries).map((step: unknown) => ({
    createdAt: textOf(fieldOf(step, 'created')),
    createdBy: textOf(fieldOf(step, 'created_by')),
    comment: textOf(fieldOf(step, 'comment')),
    emptyLayer: fieldOf(step, 'empty_layer') === true,
  }));
  return { config, history };
}

/** What made each layer, in the order of the layers. Null where the history doesn't say. */
export function makersOfLayers(history: History, count: number): readonly (string | null)[] {
  const makers = history.filter(step => !step.emptyLayer).map(step => step.createdBy);
  const isWhole = makers.length === count;
  return Array.from({ length: count }, (_, at) => (isWhole ? (makers[at] ?? null) : null));
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? cut(value) : null;
}

function textsOf(value: unknown): readonly string[] {
  const all: readonly unknown[] = Array.isArray(value) ? value : typeof value === 'string' ? [value] : [];
  return all
    .slice(0, maxEntries)
    .filter(one => typeof one === 'string')
    .map(cut);
}

function entriesOf(value: unknown): readonly [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return Object.entries(value).slice(0, maxEntries);
}

function keysOf(value: unknown): readonly string[] {
  return entriesOf(value).map(([key]) => cut(key));
}

function cut(text: string): string {
  return text.length > maxText ? `${text.slice(0, maxText)}…` : text;
}
