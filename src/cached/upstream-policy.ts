/** What the configuration says about one upstream, as far as the cache over it cares. */
import type { TransferPolicy } from './download/resume.ts';

export interface UpstreamPolicy extends TransferPolicy {
  /** Anybody may pull: no credentials are involved. */
  readonly isPublic: boolean;
  /** It has credentials that aren't for everybody: what they open is found out, repository by repository. */
  readonly isGuarded: boolean;
  readonly finish: 'always' | 'never';
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}
