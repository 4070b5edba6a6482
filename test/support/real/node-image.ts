/**
 * Stands in for Docker's official node image where no registry can be asked: Debian packages, npm's packages `npm` and
 * `node-linux-…` (the official build), and the user `node`. npm in it is offline: what a build needs must be in its cache.
 * Made once per machine into a git-ignored folder.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { commandOutput } from './command.ts';
import { fetchPackages, writeTar } from './layers.ts';
import { layerRecipes } from './recipes.ts';

const packages = [
  ...layerRecipes.base.packages,
  'libstdc++6',
  'libatomic1',
  'libpcre2-8-0',
  'libacl1',
  'libattr1',
  'libgmp10',
];

const setUp = `
mkdir -p usr/local/bin usr/local/etc usr/local/lib/node_modules/npm root home/node tmp
tar -xzf ../node.tgz --strip-components=2 -C usr/local/bin package/bin/node
tar -xzf ../npm.tgz --strip-components=1 -C usr/local/lib/node_modules/npm
chmod +x usr/local/lib/node_modules/npm/bin/npm-cli.js
ln -s ../lib/node_modules/npm/bin/npm-cli.js usr/local/bin/npm
echo offline=true > usr/local/etc/npmrc
printf 'root:x:0:0:root:/root:/bin/bash\\nnode:x:1000:1000::/home/node:/bin/bash\\n' > etc/passwd
printf 'root:x:0:\\nnode:x:1000:\\n' > etc/group
chmod 1777 tmp
`;

/** The path of a tar of all its files. Making it needs apt, dpkg-deb, tar and the npm registry. */
export async function openNodeImage(labFolder: string, nodeMajor: number): Promise<string> {
  const recipe = createHash('sha256')
    .update(JSON.stringify([packages, setUp]))
    .digest('hex')
    .slice(0, 12);
  const path = join(labFolder, `node-${nodeMajor}-${recipe}.tar`);
  if (existsSync(path)) return path;
  const debs = await fetchPackages(packages, join(labFolder, 'packages'));
  const building = await mkdtemp(join(labFolder, 'building-'));
  try {
    await download(`node-linux-${process.arch}@${nodeMajor}`, building, 'node.tgz');
    await download('npm@11', building, 'npm.tgz');
    const tar = join(building, 'image.tar');
    await writeTar({ packages, script: setUp }, debs, tar, join(building, 'files'));
    await rename(tar, path);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return path;
}

/** A range of versions means the newest in it. */
async function download(name: string, folder: string, file: string): Promise<void> {
  const found = await commandOutput(['npm', 'view', '--json', name, 'version']);
  const versions: unknown = JSON.parse(found);
  const newest: unknown = Array.isArray(versions) ? versions.toSorted(byNumbers).at(-1) : versions;
  const exact = `${name.split('@')[0]}@${String(newest)}`;
  const packed = await commandOutput(['npm', 'pack', '--silent', '--pack-destination', folder, exact]);
  await rename(join(folder, packed.trim()), join(folder, file));
}

function byNumbers(left: unknown, right: unknown): number {
  return String(left).localeCompare(String(right), 'en', { numeric: true });
}
