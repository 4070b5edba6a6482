/**
 * Which Debian packages make which layer. Chosen so that all of it is some 90 MB of download: fonts hardly compress, so
 * one layer of nearly 100 MB comes from 70 MB of packages. `files` deletes, empties and links: what layers do in practice.
 */
import type { LayerRecipe } from './layers.ts';

export type LayerName =
  | 'busybox'
  | 'data'
  | 'base'
  | 'ca'
  | 'python'
  | 'nginx'
  | 'git'
  | 'perl'
  | 'files'
  | 'fonts';

export const layerRecipes: Readonly<Record<LayerName, LayerRecipe>> = {
  busybox: {
    packages: ['busybox-static'],
    script:
      'rm -rf usr; mkdir -p etc tmp root; echo root:x:0:0:root:/root:/bin/sh > etc/passwd; for c in sh ls cat echo id; do ln -s busybox bin/$c; done',
  },
  data: { packages: ['netbase', 'media-types'] }, // for all architectures: the arm64 child needs no second package list
  base: {
    packages: [
      'base-files',
      'base-passwd',
      'libc6',
      'libgcc-s1',
      'libtinfo6',
      'bash',
      'dash',
      'coreutils',
      'libselinux1',
    ],
  },
  ca: { packages: ['ca-certificates', 'openssl'] },
  python: {
    packages: ['python3.11-minimal', 'libpython3.11-minimal', 'libpython3.11-stdlib', 'libexpat1', 'zlib1g'],
  },
  nginx: { packages: ['nginx', 'nginx-common'] },
  git: { packages: ['git'] },
  perl: { packages: ['perl-base', 'perl-modules-5.36'] },
  files: {
    packages: [],
    script:
      'mkdir -p etc usr/share/doc; touch etc/.wh.debian_version usr/share/doc/.wh..wh..opq; echo app 1.0 > etc/app-release; ln etc/app-release etc/app-release.2',
  },
  fonts: { packages: ['fonts-noto-cjk', 'fonts-noto-core'] },
};

/** The eight layers of `library/app`. */
export const appLayers: readonly LayerName[] = [
  'base',
  'ca',
  'python',
  'nginx',
  'git',
  'perl',
  'files',
  'fonts',
];
