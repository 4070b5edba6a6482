/** Was it worth it, by upstream: what was served and fetched, and what of Docker Hub's pull limit that cost and spared. */
import { formatBytes } from '../../lib/format.ts';
import { Loaded } from '../parts/loading.tsx';
import { reportPeriod, useReport } from '../parts/report-images.tsx';
import { Section } from '../parts/section.tsx';
import { formatCount } from '../text/figures.ts';

export function Report() {
  const report = useReport();
  const { value, error } = report.state.value;
  const isNothing = value === undefined ? error === undefined : value.upstreams.length === 0;
  if (isNothing) return null;
  return (
    <Section title="By upstream" note={`As cistern report says it of ${reportPeriod}.`}>
      <Loaded of={report} lines={3}>
        {({ upstreams }) => (
          <div class="table">
            <table>
              <thead>
                <tr>
                  <th scope="col">Upstream</th>
                  <th scope="col" class="right">
                    Pulls
                  </th>
                  <th scope="col" class="right">
                    Served
                  </th>
                  <th scope="col" class="right">
                    Fetched
                  </th>
                  <th scope="col" class="right">
                    Counted
                  </th>
                  <th scope="col" class="right">
                    Spared
                  </th>
                </tr>
              </thead>
              <tbody>
                {upstreams.map(one => (
                  <tr key={one.upstream}>
                    <th scope="row" class="name">
                      {one.upstream}
                    </th>
                    <Cell name="Pulls" text={formatCount(one.pulls)} />
                    <Cell name="Served" text={formatBytes(one.servedBytes)} />
                    <Cell name="Fetched" text={formatBytes(one.fetchedBytes)} />
                    <Cell name="Counted" text={formatCount(one.countedRequests)} />
                    <Cell name="Spared" text={formatCount(one.avoidedRequests)} />
                  </tr>
                ))}
              </tbody>
            </table>
            <p class="table-note">
              Counted: requests that used up the pull limit of the upstream. Spared: those that this mirror
              answered instead.
            </p>
          </div>
        )}
      </Loaded>
    </Section>
  );
}

function Cell({ name, text }: { readonly name: string; readonly text: string }) {
  return (
    <td class="right" data-label={name}>
      {text}
    </td>
  );
}
