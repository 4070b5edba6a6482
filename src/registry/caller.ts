/**
 * Who asks, as far as a registry cares: what of a repository this caller may have. Rights are decided by name before
 * anything is looked up; whether a repository is public is the registry's to find out, so it asks for both.
 */

export type Visibility = 'public' | 'private';

export interface Caller {
  /**
   * May pull from that repository if what it holds is public, or private. `canonicalName`: `docker.io/library/alpine`.
   * Whoever may have what is private may have what is public.
   */
  mayPull(canonicalName: string, visibility: Visibility): boolean;
}

/** Without rules: everybody gets what is public, nobody what isn't. */
export const anybody: Caller = { mayPull: (_name, visibility) => visibility === 'public' };
