/** `cistern push` of one layer through an nginx with a limit, over a line that is cut, to a private Cistern. */
import { get } from './client.ts';
import { patternBlob } from './content.ts';
import { type CuttingProxy, startCuttingProxy } from './cutting-proxy.ts';
import { buildImage } from './images.ts';
import { startTestMirror } from './mirror.ts';
import { type PushResult, push, writeLayout } from './push-command.ts';
import { startNginx } from './real/nginx.ts';
import { tempDir } from './temp-dir.ts';

export interface BadLine {
  /** `client_max_body_size`. */
  readonly maxBody: string;
  readonly chunkBytes: number;
  /** Bytes that have gone up in all. */
  readonly cutAt: readonly number[];
}

export interface BadLinePush {
  readonly pushed: PushResult;
  readonly line: CuttingProxy;
  /** Upload sessions that were begun. */
  readonly starts: number;
  /** Bytes of the layer that the registry has. */
  readonly stored: number;
}

export async function pushOverBadLine(
  size: number,
  { maxBody, chunkBytes, cutAt }: BadLine,
): Promise<BadLinePush> {
  const config = { hosted: { repositories: ['**'] }, upstreams: {} };
  const mirror = await startTestMirror({ config });
  const port = await startNginx({ folder: await tempDir(), upstream: mirror.url, maxBody });
  const line = await startCuttingProxy(port, cutAt);
  const layer = patternBlob('over a bad line', size);
  const source = await writeLayout({ image: buildImage({ layers: [layer] }) });
  const pushed = await push(source, `127.0.0.1:${line.port}/team/app:1`, { chunkBytes });
  const held = await get(mirror.url, `/v2/team/app/blobs/${layer.digest}`);
  // the access log
  const starts = mirror.log.filter(
    ({ method, path, url }) => method === 'POST' && /uploads/.test(`${path ?? url}`),
  );
  return { pushed, line, starts: starts.length, stored: held.bytes };
}
