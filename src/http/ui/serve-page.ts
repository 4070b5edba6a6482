/**
 * `/ui/`: the built page, from memory. A request's path is looked up among the files that the build made and is never one on the disk.
 * Scripts, styles and requests of this host alone: the policy knows no inline code and no frame around the page.
 */
import type { Middleware } from 'koa';
import { RegistryError } from '../../oci/error.ts';
import type { AppContext, AppState } from '../exchange.ts';

/** One file of the page with the compressed forms that the build made. */
export interface PageFile {
  readonly bytes: Buffer;
  readonly brotli?: Buffer | undefined;
  readonly gzip?: Buffer | undefined;
  readonly mediaType: string;
  /** Quoted. */
  readonly etag: string;
  /** Its name has a hash of its content. */
  readonly isImmutable: boolean;
}

export interface PageFiles {
  /** By path below the page's folder: `index.html`, `assets/main-3f2a.js`. Undefined: the page was not built. */
  load(): Promise<ReadonlyMap<string, PageFile> | undefined>;
}

const root = '/ui/';
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
const notBuilt = 'the page was not built: run "npm run build" where Cistern is installed from its sources\n';

export function servePage(files: PageFiles): Middleware<AppState> {
  return async (context, next) => {
    const { path } = context;
    if (path !== '/ui' && !path.startsWith(root)) return next();
    requireRead(context);
    if (path === '/ui') return redirect(context, root);
    setHeaders(context);
    const known = await files.load();
    if (known === undefined) return answerText(context, notBuilt);
    const name = path.slice(root.length);
    const file = known.get(name === '' ? 'index.html' : name) ?? viewOf(context, name, known);
    if (file === undefined)
      throw new RegistryError('UNSUPPORTED', { status: 404, message: 'the page has no such file' });
    answerFile(context, file);
  };
}

export function redirect(context: AppContext, to: string): void {
  context.status = 302;
  context.set('Location', to);
  context.set('Cache-Control', 'no-store');
  context.body = '';
}

/** Errors: UNSUPPORTED (405). */
function requireRead(context: AppContext): void {
  if (context.method === 'GET' || context.method === 'HEAD') return;
  context.set('Allow', 'GET, HEAD');
  throw new RegistryError('UNSUPPORTED', {
    message: `${context.method} is not supported here, only GET and HEAD`,
  });
}

function setHeaders(context: AppContext): void {
  context.state.exchange.isOps = true;
  context.set('Content-Security-Policy', policy);
  context.set('X-Content-Type-Options', 'nosniff');
  context.set('Referrer-Policy', 'no-referrer');
  context.set('Cross-Origin-Opener-Policy', 'same-origin');
  context.set('Cross-Origin-Resource-Policy', 'same-origin');
}

/** A view of the page, to which a link leads: the page itself works out which. */
function viewOf(
  { req }: AppContext,
  name: string,
  known: ReadonlyMap<string, PageFile>,
): PageFile | undefined {
  const isView = !name.startsWith('assets/') && /\btext\/html\b/i.test(req.headers.accept ?? '');
  return isView ? known.get('index.html') : undefined;
}

function answerFile(context: AppContext, file: PageFile): void {
  context.set('Cache-Control', file.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache');
  context.set('Vary', 'Accept-Encoding');
  context.set('ETag', file.etag);
  if (doesMatch(context.req.headers['if-none-match'], file.etag)) {
    context.status = 304;
    return;
  }
  const { bytes, encoding } = choose(file, context.req.headers['accept-encoding']);
  if (encoding !== undefined) context.set('Content-Encoding', encoding);
  context.status = 200;
  context.set('Content-Type', file.mediaType);
  context.body = bytes;
}

function doesMatch(given: string | undefined, etag: string): boolean {
  const tags = (given ?? '').split(',').map(tag => tag.trim().replace(/^W\//, ''));
  return tags.includes(etag) || tags.includes('*');
}

/** The smallest form that the client takes. */
function choose(
  { bytes, brotli, gzip }: PageFile,
  accepted: string | undefined,
): { readonly bytes: Buffer; readonly encoding?: string } {
  const codings = new Set(
    (accepted ?? '')
      .toLowerCase()
      .split(',')
      .map(coding => coding.trim())
      .filter(coding => !/;\s*q=0(?:\.0*)?$/.test(coding))
      .map(coding => coding.replace(/\s*;.*$/, '')),
  );
  if (brotli !== undefined && codings.has('br')) return { bytes: brotli, encoding: 'br' };
  if (gzip !== undefined && codings.has('gzip')) return { bytes: gzip, encoding: 'gzip' };
  return { bytes };
}

function answerText(context: AppContext, text: string): void {
  context.status = 503;
  context.set('Cache-Control', 'no-store');
  context.set('Content-Type', 'text/plain; charset=utf-8');
  context.body = text;
}
