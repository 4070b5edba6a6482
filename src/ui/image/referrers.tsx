/** What refers to the image: who signed it, what is in it, how it was made. */
import type { ReferrerRow } from '../../http/api/schema/images.ts';
import { formatBytes } from '../../lib/format.ts';
import { DigestText } from '../parts/copy.tsx';
import { Mark } from '../parts/notice.tsx';

const words: Readonly<Record<ReferrerRow['kind'], string>> = {
  signature: 'Signature',
  sbom: 'SBOM',
  attestation: 'Attestation',
  other: 'Other',
};

interface ReferrersProps {
  readonly referrers: readonly ReferrerRow[];
  readonly repository: string;
}

export function Referrers({ referrers, repository }: ReferrersProps) {
  if (referrers.length === 0)
    return <p class="quiet">None is held. What clients ask for by the referrers API is kept here.</p>;
  return (
    <ul class="referrers">
      {referrers.map(({ digest, kind, artifactType, mediaType, bytes, annotations }) => (
        <li key={digest}>
          <p>
            <Mark tone={kind === 'other' ? 'plain' : 'accent'}>{words[kind]}</Mark>{' '}
            <code class="wrap">{artifactType ?? mediaType}</code>
          </p>
          <p class="quiet">
            <DigestText digest={digest} what={`the digest of a referrer in ${repository}`} />
            {bytes !== null && <span> {formatBytes(bytes)}</span>}
          </p>
          {Object.entries(annotations).map(([key, text]) => (
            <code key={key} class="wrap line quiet">
              {key}={text}
            </code>
          ))}
        </li>
      ))}
    </ul>
  );
}
