/** The real clients by name, each with the images that Debian's version of it takes and how it asks for a tag. */
import type { ClientOptions, RealClient } from './client.ts';
import { Containerd } from './containerd.ts';
import { Dockerd } from './dockerd.ts';
import type { ImageName, RealImage } from './image-set.ts';
import { Podman } from './podman.ts';
import { Skopeo } from './skopeo.ts';

export interface ClientKind {
  readonly start: (options: ClientOptions) => Promise<RealClient>;
  /** The program that must be there. */
  readonly needs: 'dockerd' | 'containerd' | 'podman' | 'skopeo';
  readonly images: readonly ImageName[];
  /** HEAD of the tag and then GET by digest, or GET of the tag at once. */
  readonly asksTagBy: 'HEAD' | 'GET';
  /** All children of an index, or the one for this machine. */
  readonly takesChildren: 'all' | 'amd64';
  /** Which registry a name belongs to, where that isn't docker.io. */
  readonly hostOf: (image: RealImage) => string;
}

const common = ['tiny', 'app', 'index', 'list'] as const;
const hub = () => 'docker.io';

export const clientKinds: Readonly<Record<string, ClientKind>> = {
  dockerd: {
    start: options => Dockerd.start(options),
    needs: 'dockerd',
    images: common, // 20.10 can't unpack zstd
    asksTagBy: 'HEAD',
    takesChildren: 'amd64',
    hostOf: hub,
  },
  containerd: {
    start: options => Containerd.start({ ...options, hosts: 'docker.io' }),
    needs: 'containerd',
    images: [...common, 'zstd'],
    asksTagBy: 'HEAD',
    takesChildren: 'amd64',
    hostOf: hub,
  },
  'containerd with _default': {
    start: options => Containerd.start({ ...options, hosts: '_default' }),
    needs: 'containerd',
    images: ['nested', ...common, 'zstd'],
    asksTagBy: 'HEAD',
    takesChildren: 'amd64',
    hostOf: image => (image.repository.startsWith('library/') ? 'docker.io' : 'quay.io'),
  },
  podman: {
    start: options => Podman.create(options),
    needs: 'podman',
    images: [...common, 'zstd'],
    asksTagBy: 'GET',
    takesChildren: 'amd64',
    hostOf: hub,
  },
  skopeo: {
    start: options => Skopeo.create(options),
    needs: 'skopeo',
    images: [...common, 'zstd', 'signature'],
    asksTagBy: 'GET',
    takesChildren: 'all',
    hostOf: hub,
  },
};
