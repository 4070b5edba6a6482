/**
 * The caller of a registry and its rights. Rights are decided by repository name, before the repository is looked up.
 * Canonical names are `docker.io/library/alpine`; those of hosted repositories have no host.
 */

export type Visibility = 'public' | 'private';

export interface Caller {
  /** The login name; undefined: anonymous. */
  readonly user: string | undefined;
  /**
   * May pull from that repository if its content is public, or private. The registry knows which, so it asks for both.
   * A caller who may pull private content may pull public content too.
   */
  mayPull(canonicalName: string, visibility: Visibility): boolean;
  /** May upload blobs, and put manifests and tags. */
  mayPush(canonicalName: string): boolean;
  /** May delete tags, manifests and blobs. */
  mayDelete(canonicalName: string): boolean;
  /** May pin, evict, refresh and restore. */
  mayAdminister(canonicalName: string): boolean;
}

/** No login and no rules: pulls public content. */
export const anonymousCaller: Caller = {
  user: undefined,
  mayPull: (_name, visibility) => visibility === 'public',
  mayPush: () => false,
  mayDelete: () => false,
  mayAdminister: () => false,
};

/** Reached the admin socket, so runs as the daemon's own user or as root: every right. */
export const operatorCaller: Caller = {
  user: undefined,
  mayPull: () => true,
  mayPush: () => true,
  mayDelete: () => true,
  mayAdminister: () => true,
};
