/**
 * The files of the built page, `dist/ui` beside package.json: read into memory once, when the page is first asked for. It is some hundred
 * KiB, so no request for it touches the disk, and no path of a request can lead there.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PageFile, PageFiles } from '../../http/ui/serve-page.ts';

const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
};

export class BuiltPage implements PageFiles {
  readonly #folder: string;
  #loading: Promise<ReadonlyMap<string, PageFile> | undefined> | undefined;

  /** `folder`: another one than that of this installation. */
  constructor(folder = fileURLToPath(new URL('../../../dist/ui/', import.meta.url))) {
    this.#folder = folder;
  }

  /** A page that wasn't there may have been built since: it is looked for again. Errors: system errors other than a missing folder. */
  load(): Promise<ReadonlyMap<string, PageFile> | undefined> {
    this.#loading ??= this.#read().then(
      files => {
        if (files === undefined) this.#loading = undefined;
        return files;
      },
      error => {
        this.#loading = undefined;
        throw error;
      },
    );
    return this.#loading;
  }

  async #read(): Promise<ReadonlyMap<string, PageFile> | undefined> {
    const contents = new Map<string, Buffer>();
    for (const entry of await this.#list()) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const name = path.slice(join(this.#folder, '/').length).replaceAll('\\', '/');
      contents.set(name, await readFile(path));
    }
    const files = new Map<string, PageFile>();
    for (const [name, bytes] of contents) {
      const mediaType = mediaTypes[extname(name)];
      if (mediaType === undefined) continue; // a compressed form, or nothing of the page
      files.set(name, {
        bytes,
        brotli: contents.get(`${name}.br`),
        gzip: contents.get(`${name}.gz`),
        mediaType,
        etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
        isImmutable: /^assets\/.+-[\w-]{8,}\.\w+$/.test(name),
      });
    }
    return files.has('index.html') ? files : undefined;
  }

  async #list() {
    try {
      return await readdir(this.#folder, { recursive: true, withFileTypes: true });
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
  }
}
