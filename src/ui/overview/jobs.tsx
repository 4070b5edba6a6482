/** Jobs that this page has begun: they go on in the mirror when their dialog is closed. */
import { describeAction } from '../actions/action-words.ts';
import { Progress } from '../parts/meter.tsx';
import { State } from '../parts/notice.tsx';
import { Section } from '../parts/section.tsx';
import { isEnded } from '../state/jobs.ts';
import { jobUpdates } from '../state/live.ts';
import { formatMoment, shareOf } from '../text/figures.ts';

const shownJobs = 8;

export function Jobs() {
  const jobs = [...jobUpdates.value.values()].filter(({ dryRun }) => !dryRun).reverse();
  if (jobs.length === 0) return null;
  return (
    <Section title="Jobs" note="Begun from this page.">
      <ul class="transfers">
        {jobs.slice(0, shownJobs).map(job => {
          const { id, action, images, state, progress, createdAt, results } = job;
          const name = describeAction(action, images);
          const failure = results.find(({ error }) => error !== null)?.error;
          return (
            <li key={id} class="transfer">
              <p class="transfer-name">{name}</p>
              {!isEnded(job) && (
                <Progress
                  share={progress.total === null ? null : shareOf(progress.done, progress.total)}
                  label={name}
                />
              )}
              <p class="transfer-figures">
                <State tone={state === 'failed' ? 'bad' : state === 'done' ? 'good' : 'note'}>{state}</State>
                <span>{isEnded(job) ? (failure?.message ?? results[0]?.summary) : progress.what}</span>
                <span>{formatMoment(createdAt)}</span>
              </p>
            </li>
          );
        })}
      </ul>
    </Section>
  );
}
