/**
 * `GET /`: what listens here and where to go, for a person with curl; a browser is sent to the page. It names no repository and no
 * setting.
 */
import type { Middleware } from 'koa';
import { buildEndpoint } from '../oci/endpoint.ts';
import type { AppContext, AppState } from './exchange.ts';
import { redirect } from './ui/serve-page.ts';

interface Pointer {
  readonly path: string;
  readonly what: string;
}

const title = 'Cistern, a pull-through mirror for container registries and a private registry';
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
    { path: '/ui/', what: 'the page: images, transfers, how to set up clients' },
    { path: buildEndpoint({ kind: 'ping' }), what: 'the registry API' },
    { path: '/api/v1/openapi.json', what: 'the API of the page' },
    { path: '/healthz', what: 'the process lives' },
    { path: '/readyz', what: 'it takes requests' },
    ...(metricsPath === undefined ? [] : [{ path: metricsPath, what: 'metrics for Prometheus' }]),
  ];
  context.set('Vary', 'Accept');
  if (/\btext\/html\b/i.test(context.req.headers.accept ?? '')) {
    redirect(context, '/ui/');
    return;
  }
  context.status = 200;
  context.set('Cache-Control', 'no-store');
  context.set('Content-Type', 'text/plain; charset=utf-8');
  context.body = renderText(pointers);
}

function renderText(pointers: readonly Pointer[]): string {
  const rows = pointers.map(({ path, what }) => `  ${path.padEnd(20)} ${what}`);
  return `${[title, '', ...howTo, '', ...rows].join('\n')}\n`;
}
