/**
 * `GET /`: what listens here and where to go, for a person with a browser (HTML) or curl (text). It names no repository
 * and no setting.
 */
import type { Middleware } from 'koa';
import { buildEndpoint } from '../oci/endpoint.ts';
import type { AppContext, AppState } from './exchange.ts';

interface Pointer {
  readonly path: string;
  readonly what: string;
}

const title = 'Cistern, a pull-through mirror for container registries';
const howTo = [
  'Container clients pull images through this address. Set it as a mirror in dockerd, containerd or podman:',
  'the command "cistern client docker" (or containerd, podman, k3s, kind, crio, buildkit) prints the settings.',
];

/** `metricsPath`: undefined where the metrics are on another address. */
export function answerFrontPage(metricsPath: string | undefined): Middleware<AppState> {
  return (context, next) => {
    const isAsked = context.path === '/' && (context.method === 'GET' || context.method === 'HEAD');
    return isAsked ? answer(context, metricsPath) : next();
  };
}

function answer(context: AppContext, metricsPath: string | undefined): void {
  const pointers: readonly Pointer[] = [
    { path: buildEndpoint({ kind: 'ping' }), what: 'the registry API' },
    { path: '/healthz', what: 'the process lives' },
    { path: '/readyz', what: 'it takes requests' },
    ...(metricsPath === undefined ? [] : [{ path: metricsPath, what: 'metrics for Prometheus' }]),
  ];
  const isBrowser = /\btext\/html\b/i.test(context.req.headers.accept ?? '');
  context.status = 200;
  context.set('Cache-Control', 'no-store');
  context.set('Vary', 'Accept');
  context.set('Content-Type', `${isBrowser ? 'text/html' : 'text/plain'}; charset=utf-8`);
  if (isBrowser) context.set('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'");
  context.body = isBrowser ? renderHtml(pointers) : renderText(pointers);
}

function renderText(pointers: readonly Pointer[]): string {
  const rows = pointers.map(({ path, what }) => `  ${path.padEnd(12)} ${what}`);
  return `${[title, '', ...howTo, '', ...rows].join('\n')}\n`;
}

function renderHtml(pointers: readonly Pointer[]): string {
  const rows = pointers.map(
    ({ path, what }) => `<li><a href="${escapeHtml(path)}">${escapeHtml(path)}</a> ${escapeHtml(what)}</li>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Cistern</title>
<style>body { font: 1rem/1.5 sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem }</style></head>
<body><h1>Cistern</h1><p>${escapeHtml(title)}.</p><p>${escapeHtml(howTo.join(' '))}</p>
<ul>
${rows.join('\n')}
</ul></body></html>
`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
