/** What a job did, or what it would do: a sentence for each image, the bytes that are freed or fetched, and the tags that go. */
import type { JobAnswer, JobResult } from '../../http/api/schema/actions.ts';
import { formatBytes } from '../../lib/format.ts';
import { Notice } from '../parts/notice.tsx';
import { formatSentence } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';

/** Of one job many images can be told; the others are counted. */
const shownResults = 50;
const shownTags = 30;

export function JobResults({ job }: { readonly job: JobAnswer }) {
  const freed = sum(job.results.map(({ freedBytes }) => freedBytes));
  const fetched = sum(job.results.map(({ fetchedBytes }) => fetchedBytes));
  const rest = job.results.length - shownResults;
  return (
    <div class="results">
      {(freed !== null || fetched !== null) && (
        <dl class="results-sums">
          {freed !== null && <Sum name={job.dryRun ? 'Would be freed' : 'Freed'} bytes={freed} />}
          {fetched !== null && <Sum name={job.dryRun ? 'Would be fetched' : 'Fetched'} bytes={fetched} />}
        </dl>
      )}
      {job.results.slice(0, shownResults).map(result => (
        <Result key={result.image ?? result.summary} result={result} isAlone={job.results.length === 1} />
      ))}
      {rest > 0 && <p class="quiet">and {rest} more</p>}
    </div>
  );
}

function Result({ result, isAlone }: { readonly result: JobResult; readonly isAlone: boolean }) {
  const { image, summary, tags, error } = result;
  const name = image === null ? '' : shortName(image);
  if (error !== null)
    return (
      <Notice tone="bad" title={isAlone || name === '' ? 'It did not work' : name}>
        {formatSentence(error.message)}
      </Notice>
    );
  return (
    <div class="result">
      <p>
        {!isAlone && name !== '' && <strong>{name}: </strong>}
        {formatSentence(summary)}
      </p>
      {tags.length > 0 && (
        <ul class="result-tags" aria-label="Tags">
          {tags.slice(0, shownTags).map(tag => (
            <li key={tag}>
              <code>{tag}</code>
            </li>
          ))}
          {tags.length > shownTags && <li>and {tags.length - shownTags} more</li>}
        </ul>
      )}
    </div>
  );
}

function Sum({ name, bytes }: { readonly name: string; readonly bytes: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{formatBytes(bytes)}</dd>
    </div>
  );
}

function sum(amounts: readonly (number | null)[]): number | null {
  const known = amounts.filter(amount => amount !== null);
  return known.length === 0 ? null : known.reduce((total, amount) => total + amount, 0);
}
