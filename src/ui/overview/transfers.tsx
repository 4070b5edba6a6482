/** What comes and goes just now, once a second: each download with its followers, each upload with its user. */
import type { TransferDownload, TransferUpload } from '../../http/api/schema/transfers.ts';
import { formatBytes, formatShare } from '../../lib/format.ts';
import { Skeleton } from '../parts/loading.tsx';
import { Progress } from '../parts/meter.tsx';
import { liveState, sample } from '../state/live.ts';
import { formatCounted, formatRate, formatTimeLeft, shareOf } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';

export function Transfers() {
  const current = sample.value;
  if (current === undefined)
    return liveState.value === 'lost' ? (
      <p class="quiet">Not known while the page is not live.</p>
    ) : (
      <Skeleton lines={2} />
    );
  const { downloads, uploads } = current.transfers;
  if (downloads.length + uploads.length === 0)
    return <p class="quiet">Nothing is being downloaded or pushed.</p>;
  return (
    <ul class="transfers">
      {downloads.map((download, index) => (
        <li key={download.digest ?? `${download.upstream} ${index}`}>
          <Download download={download} />
        </li>
      ))}
      {uploads.map((upload, index) => (
        <li key={`${upload.startedAt} ${index}`}>
          <Upload upload={upload} />
        </li>
      ))}
    </ul>
  );
}

function Download({ download }: { readonly download: TransferDownload }) {
  const { digest, repository, upstream, frontBytes, sizeBytes, followers, bytesPerSecond } = download;
  const share = sizeBytes === null ? null : shareOf(frontBytes, sizeBytes);
  const name = repository === null ? upstream : shortName(repository);
  return (
    <div class="transfer">
      <p class="transfer-name">
        <span aria-hidden="true">↓</span>
        <span class="visually-hidden">Download:</span> {name}
        {digest !== null && <code class="quiet"> {digest.slice(0, 19)}</code>}
      </p>
      <Progress share={share} label={`Download of ${name}`} />
      <p class="transfer-figures">
        <span>
          {share === null
            ? formatBytes(frontBytes)
            : `${formatBytes(frontBytes)} of ${formatBytes(sizeBytes ?? 0)}`}
        </span>
        <span>{share !== null && formatShare(share)}</span>
        <span>{formatRate(bytesPerSecond)}</span>
        <span>{formatTimeLeft(frontBytes, sizeBytes, bytesPerSecond)}</span>
        <span>{followers === 0 ? 'no client waits' : formatCounted(followers, 'follower')}</span>
      </p>
    </div>
  );
}

function Upload({ upload }: { readonly upload: TransferUpload }) {
  const { repository, user, bytes, bytesPerSecond } = upload;
  const name = repository === null ? 'hosted' : shortName(repository);
  return (
    <div class="transfer">
      <p class="transfer-name">
        <span aria-hidden="true">↑</span>
        <span class="visually-hidden">Upload:</span> {name}
      </p>
      <Progress share={null} label={`Upload to ${name}`} />
      <p class="transfer-figures">
        <span>{formatBytes(bytes)}</span>
        <span>{formatRate(bytesPerSecond)}</span>
        <span>{user !== null && `by ${user}`}</span>
      </p>
    </div>
  );
}
