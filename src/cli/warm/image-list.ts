/**
 * Lists of images in files: a name per line, Kubernetes manifests, Compose files. What can't be read stops the command before anything is
 * fetched; what is named and can't be pulled by name (a build, `<none>`) is left out with a note.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { systemCodeOf } from '../../store/store-error.ts';
import { CommandError } from '../command-line.ts';
import { interpolate, parseDotEnv } from './compose-variables.ts';

export interface ImageList {
  readonly images: readonly string[];
  /** For people: what was left out. */
  readonly notes: readonly string[];
}

/** `-` is standard input. Errors: `CommandError`. */
export async function readListFile(path: string): Promise<ImageList> {
  const lines = (await readText(path)).split(/\r?\n/).map(line => line.replace(/(?:^|\s)#.*$/, '').trim());
  return { images: lines.filter(line => line !== ''), notes: [] };
}

/** Every container of every object, init containers and image volumes too, whatever its kind. Errors: `CommandError`. */
export async function readKubernetesFile(path: string): Promise<ImageList> {
  const images: string[] = [];
  for (const tree of parseYaml(path, await readText(path))) collectImages(tree, images);
  return { images, notes: [] };
}

/** `env` wins over the `.env` file beside it, as in Compose. Errors: `CommandError`. */
export async function readComposeFile(path: string, env: NodeJS.ProcessEnv): Promise<ImageList> {
  const [tree] = parseYaml(path, await readText(path));
  const variables = { ...parseDotEnv(await readIfThere(join(dirname(path), '.env'))), ...env };
  const images: string[] = [];
  const notes: string[] = [];
  const { services, include } = isObject(tree) ? tree : {};
  if (!isObject(services) && include === undefined)
    throw new CommandError(`${path} has no services: it is no Compose file`, 'NAME_INVALID');
  if (include !== undefined) notes.push(`${path}: the files of include are not read, name them too`);
  for (const [name, service] of Object.entries(isObject(services) ? services : {})) {
    if (!isObject(service)) continue;
    if (service.build !== undefined) notes.push(`${path}: ${name} is built and left out`);
    else if (typeof service.image === 'string')
      images.push(interpolate(service.image, variables, `${path}: services.${name}.image`));
  }
  return { images, notes };
}

const podLists = ['containers', 'initContainers', 'ephemeralContainers'] as const;

/** Objects nest: a List has items, a CronJob a Job, an operator's object a Pod's spec somewhere. */
function collectImages(value: unknown, into: string[]): void {
  if (Array.isArray(value)) {
    for (const item of value) collectImages(item, into);
    return;
  }
  if (!isObject(value)) return;
  for (const list of podLists)
    for (const container of arrayOf(value[list]))
      if (isObject(container) && typeof container.image === 'string') into.push(container.image);
  for (const volume of arrayOf(value.volumes))
    if (isObject(volume) && isObject(volume.image) && typeof volume.image.reference === 'string')
      into.push(volume.image.reference);
  for (const child of Object.values(value)) collectImages(child, into);
}

function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Errors: `CommandError` with the place. */
function parseYaml(path: string, text: string): readonly unknown[] {
  const documents = parseAllDocuments(text, { merge: true });
  return Array.from(documents, document => {
    const [error] = document.errors;
    if (error === undefined) return document.toJS({ maxAliasCount: 1000 });
    const line = error.linePos?.[0].line;
    const [reason] = error.message.split(/ at line |\n/);
    const hint = text.includes('{{') ? '; a Helm chart must be rendered first: helm template' : '';
    throw new CommandError(
      `${path}${line === undefined ? '' : `:${line}`}: ${reason}${hint}`,
      'NAME_INVALID',
    );
  });
}

async function readText(path: string): Promise<string> {
  try {
    if (path !== '-') return await readFile(path, 'utf8');
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk);
    return Buffer.concat(chunks).toString('utf8');
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === undefined) throw error;
    throw new CommandError(
      `cannot read ${path}: ${code === 'ENOENT' ? 'there is no such file' : code}`,
      'NAME_INVALID',
    );
  }
}

async function readIfThere(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

/** Only the keys that are looked at by name. */
interface YamlObject {
  readonly [key: string]: unknown;
  readonly services?: unknown;
  readonly include?: unknown;
  readonly build?: unknown;
  readonly image?: unknown;
  readonly volumes?: unknown;
  readonly reference?: unknown;
}

function isObject(value: unknown): value is YamlObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
