/**
 * The question before each action: what it does, what would go or come, and a button that names it. The dialog is the
 * browser's own, so the focus stays inside, Escape closes it, and the focus goes back to where it was.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { formatShare } from '../../lib/format.ts';
import { Progress } from '../parts/meter.tsx';
import { Notice } from '../parts/notice.tsx';
import { formatSentence, shareOf } from '../text/figures.ts';
import { shortName } from '../text/image-name.ts';
import { type ActionRun, closeRun, openRun } from './action-run.ts';
import { actionWords, describeAction } from './action-words.ts';
import { JobResults } from './job-results.tsx';

export function ActionDialog() {
  const { value } = openRun;
  return value === undefined ? null : (
    <OpenDialog key={describeAction(value.plan.action, value.plan.images)} run={value} />
  );
}

function OpenDialog({ run }: { readonly run: ActionRun }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [to, setTo] = useState('');
  const [platforms, setPlatforms] = useState('');
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const { action, images } = run.plan;
  const { verb, running, explanation, isGrave } = actionWords[action];
  const { step, job, error } = run.state.value;
  const confirm = (event: Event) => {
    event.preventDefault();
    void run.confirm({
      ...(action === 'promote' && { to: to.trim() }),
      ...(platforms.trim() !== '' && { platforms: platforms.trim().split(/[\s,]+/) }),
    });
  };
  const done = step === 'ended' || step === 'refused';
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="dialog-title" onClose={closeRun}>
      <form method="dialog" onSubmit={confirm}>
        <h2 id="dialog-title" class="dialog-title">
          {describeAction(action, images)}
        </h2>
        <p class="dialog-lead">{explanation}</p>
        {images.length > 1 && (
          <ul class="dialog-images">
            {images.map(image => (
              <li key={image}>{shortName(image)}</li>
            ))}
          </ul>
        )}
        {step === 'asking' && action === 'promote' && (
          <Field label="Hosted name" hint="such as team/app:1.2">
            <input
              id="field-hosted-name"
              required
              value={to}
              onInput={event => setTo(event.currentTarget.value)}
            />
          </Field>
        )}
        {step === 'asking' && (action === 'promote' || action === 'warm') && (
          <Field label="Platforms" hint="such as linux/amd64 linux/arm64; empty: all">
            <input
              id="field-platforms"
              value={platforms}
              onInput={event => setPlatforms(event.currentTarget.value)}
            />
          </Field>
        )}
        <div class="dialog-state" aria-live="polite">
          {step === 'previewing' && <p class="busy">Working out what would happen…</p>}
          {step === 'asking' && job !== undefined && <JobResults job={job} />}
          {step === 'running' && (
            <>
              <Progress
                share={job?.progress.total == null ? null : shareOf(job.progress.done, job.progress.total)}
                label={running}
              />
              <p class="busy">
                {running}
                {job?.progress.total != null &&
                  job.progress.total > 0 &&
                  ` ${formatShare(job.progress.done / job.progress.total)}`}
                {job?.progress.what && ` · ${job.progress.what}`}
              </p>
            </>
          )}
          {step === 'ended' && job !== undefined && <JobResults job={job} />}
          {step === 'refused' && error !== undefined && (
            <Notice tone="bad" title="This was refused">
              {formatSentence(error.message)}
            </Notice>
          )}
        </div>
        <div class="dialog-buttons">
          {step === 'running' && <span class="quiet">It goes on when this is closed.</span>}
          <button type="button" class="button" onClick={() => dialog.current?.close()}>
            {done || step === 'running' ? 'Close' : 'Cancel'}
          </button>
          {(step === 'asking' || step === 'previewing') && (
            <button
              type="submit"
              class={`button ${isGrave ? 'button-grave' : 'button-main'}`}
              disabled={step === 'previewing'}
            >
              {verb}
            </button>
          )}
        </div>
      </form>
    </dialog>
  );
}

interface FieldProps {
  readonly label: string;
  readonly hint: string;
  readonly children: preact.ComponentChildren;
}

function Field({ label, hint, children }: FieldProps) {
  const id = `field-${label.toLowerCase().replaceAll(' ', '-')}`;
  return (
    <div class="field">
      <label for={id}>
        {label} <span class="quiet">{hint}</span>
      </label>
      {children}
    </div>
  );
}
