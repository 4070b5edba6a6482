/** `cistern export`, `import FILE` and `digests` in this process, and bundles made by hand, right or wrong. */
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type Header, pack } from 'tar-stream';
import { runDigests } from '../../src/cli/bundle/digests.ts';
import { type ExportCommand, runExport } from '../../src/cli/bundle/export.ts';
import { type ImportBundleCommand, runImportBundle } from '../../src/cli/bundle/import-bundle.ts';
import { hexOf } from '../../src/oci/digest.ts';
import type { BuiltImage } from './images.ts';

export interface CommandOutput {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What all commands take; `config`: the file. */
async function run(
  config: string,
  work: (options: ReturnType<typeof optionsOf>) => Promise<number>,
): Promise<CommandOutput> {
  const output = { stdout: '', stderr: '' };
  const code = await work(optionsOf(config, output));
  return { code, ...output };
}

function optionsOf(config: string, output: { stdout: string; stderr: string }) {
  return {
    file: config,
    env: {},
    cwd: '/',
    signal: new AbortController().signal,
    write: (text: string) => {
      output.stdout += text;
    },
    writeError: (text: string) => {
      output.stderr += text;
    },
  };
}

export function exportImages(
  config: string,
  images: readonly string[],
  output: string,
  options: Partial<ExportCommand> = {},
): Promise<CommandOutput> {
  return run(config, common =>
    runExport({ ...common, images, output, platforms: [], stdout: process.stdout, ...options }),
  );
}

export function importBundle(
  config: string,
  bundle: string | Buffer,
  options: Partial<ImportBundleCommand> = {},
): Promise<CommandOutput> {
  const stdin = Readable.from(typeof bundle === 'string' ? [] : chunksOf(bundle));
  const name = typeof bundle === 'string' ? bundle : '-';
  return run(config, common => runImportBundle({ ...common, bundle: name, stdin, ...options }));
}

export function listDigests(config: string): Promise<CommandOutput> {
  return run(config, common => runDigests(common));
}

function* chunksOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield bytes.subarray(at, at + 64 * 1024);
}

export interface BundleFile {
  readonly name: string;
  readonly content: Buffer;
  readonly header?: Partial<Header>;
}

/** As `tar` writes it, in this order. */
export async function tarOf(files: readonly BundleFile[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, content, header } of files) {
    const isEmpty = header?.type !== undefined && header.type !== 'file';
    if (isEmpty) tar.entry({ name, ...header });
    else tar.entry({ name, ...header }, content);
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The files of an OCI layout with these images, by whole names. */
export function layoutFiles(images: Readonly<Record<string, BuiltImage>>): BundleFile[] {
  const blobs = new Map<string, Buffer>();
  for (const image of Object.values(images)) {
    for (const { descriptor, bytes } of image.manifests) blobs.set(descriptor.digest, bytes);
    for (const { descriptor, content } of image.blobs)
      blobs.set(descriptor.digest, Buffer.from(content.slice(0, content.size)));
  }
  const manifests = Object.entries(images).map(([name, { descriptor }]) => ({
    ...descriptor,
    annotations: { 'org.opencontainers.image.ref.name': name },
  }));
  return [
    { name: 'oci-layout', content: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
    { name: 'index.json', content: Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })) },
    ...Array.from(blobs, ([digest, content]) => ({ name: `blobs/${digest.replace(':', '/')}`, content })),
  ];
}

export function blobName(digest: BuiltImage['digest']): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

/** Name to content, read by the ustar format alone. Of folders nothing. */
export async function filesOf(bundle: string | Buffer): Promise<ReadonlyMap<string, Buffer>> {
  const bytes = typeof bundle === 'string' ? await readFile(bundle) : bundle;
  const files = new Map<string, Buffer>();
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0; ) {
    const name = bytes.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(bytes.toString('latin1', at + 124, at + 135), 8);
    const start = at + 512;
    if (bytes[at + 156] === 0x30) files.set(name, bytes.subarray(start, start + size));
    at = start + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** Of blobs and manifests in it, sorted. */
export async function digestsIn(bundle: string | Buffer): Promise<readonly string[]> {
  const names = [...(await filesOf(bundle)).keys()].filter(name => name.startsWith('blobs/'));
  return names.map(name => name.replace('blobs/', '').replace('/', ':')).sort();
}
