/** An export that is piped into an import, both as processes, between two daemons: how much memory each of the four takes at most. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { exportImages } from './bundles.ts';
import { patternBlob } from './content.ts';
import { buildImage } from './images.ts';
import { spawnTestMirror } from './mirror.ts';
import { tempDir } from './temp-dir.ts';
import { startFakeUpstream } from './upstream.ts';

export interface Peaks {
  readonly export: number;
  readonly import: number;
  /** Of the daemons. */
  readonly source: number;
  readonly target: number;
}

/** In MiB. `layerBytes`: one for each layer. */
export async function measurePipe(layerBytes: readonly number[]): Promise<Peaks> {
  const upstream = await startFakeUpstream();
  const layers = layerBytes.map((bytes, number) => patternBlob(`layer ${number}`, bytes));
  upstream.put('library/large', buildImage({ layers }), '1');
  const filled = await spawnTestMirror({ upstream });
  const filling = await exportImages(filled.file, ['large:1'], '/dev/null');
  if (filling.code !== 0) throw new Error(filling.stderr);
  await filled.process.stop();
  // what its upstream takes, downloads and the check of an old tag, is no part of it
  const source = await spawnTestMirror({ upstream, storePath: filled.storePath, config: { offline: true } });
  const target = await spawnTestMirror({ upstream, config: { offline: true } });
  const peaks = join(await tempDir(), 'peaks');
  const command = (words: string, file: string) =>
    `"${process.execPath}" dist/main.js ${words} --config "${file}"`;
  const pipe = `${command('export large:1 --output -', source.file)} | ${command('import -', target.file)}`;
  const env = {
    ...process.env,
    NODE_OPTIONS: '--import ./test/support/peak-memory.mjs',
    CISTERN_TEST_PEAKS: peaks,
  };
  await promisify(execFile)('bash', ['-o', 'pipefail', '-c', pipe], { env });
  const lines = new Map(
    (await readFile(peaks, 'utf8')).split('\n').map(line => line.split(' ') as [string, string]),
  );
  const daemons = await Promise.all([source, target].map(({ process: { pid } }) => peakOf(pid)));
  return {
    export: Number(lines.get('export')) / 1024,
    import: Number(lines.get('import')) / 1024,
    source: daemons[0] ?? Number.NaN,
    target: daemons[1] ?? Number.NaN,
  };
}

async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}
