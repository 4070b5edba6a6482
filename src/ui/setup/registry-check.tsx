/** Does it work from here: what a client asks first, from this browser's machine, with the answer in words. */
import { useState } from 'preact/hooks';
import type { MirrorForClients } from '../../clients/client-setup.ts';
import type { SetupAnswer } from '../../http/api/schema/setup.ts';
import { State } from '../parts/notice.tsx';
import { type CheckResult, checkRegistry } from '../state/registry-check.ts';

interface RegistryCheckProps {
  readonly answer: SetupAnswer;
  readonly mirror: MirrorForClients;
}

export function RegistryCheck({ answer, mirror }: RegistryCheckProps) {
  const [results, setResults] = useState<readonly CheckResult[] | undefined>();
  const [isBusy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    setResults([]);
    const done: CheckResult[] = [];
    for await (const result of checkRegistry(answer, mirror)) {
      done.push(result);
      setResults([...done]);
    }
    setBusy(false);
  };
  return (
    <div class="check">
      <button type="button" class="button" disabled={isBusy} onClick={() => void run()}>
        {isBusy ? 'Checking…' : 'Does it work from here?'}
      </button>
      <ul aria-live="polite" class="check-results">
        {(results ?? []).map(({ what, outcome, words }) => (
          <li key={what}>
            <State tone={outcome}>{what}</State> <span class="quiet">{words}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
