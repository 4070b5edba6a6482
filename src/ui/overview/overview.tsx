/** Overview: is it worth it, is all well, what runs now. Figures of now come with the stream of events, the rest is read again. */
import type { StatsAnswer } from '../../http/api/schema/stats.ts';
import { formatShare, formatSpan } from '../../lib/format.ts';
import { ActionButton } from '../actions/action-buttons.tsx';
import { Loaded } from '../parts/loading.tsx';
import { State } from '../parts/notice.tsx';
import { PageHead, Section } from '../parts/section.tsx';
import { UsersOnly } from '../parts/users-only.tsx';
import { liveState, sample, useLive } from '../state/live.ts';
import { useResource } from '../state/resource.ts';
import { isOfferedForAll } from '../state/session.ts';
import { formatCount } from '../text/figures.ts';
import { Disk } from './disk.tsx';
import { History } from './history.tsx';
import { Jobs } from './jobs.tsx';
import { Report } from './report.tsx';
import { Transfers } from './transfers.tsx';
import { Upstreams } from './upstreams.tsx';
import { Warmed } from './warm.tsx';
import { Warnings } from './warnings.tsx';

export function Overview() {
  return (
    <UsersOnly title="Overview" what="what it saves, what runs now, and how its upstreams and its disk are">
      {() => <Figures />}
    </UsersOnly>
  );
}

function Figures() {
  useLive();
  const stats = useResource<StatsAnswer>('stats', {}, { follows: true });
  return (
    <>
      <PageHead title="Overview" lead={<Lead stats={stats.state.value.value} />}>
        <LiveMark />
      </PageHead>
      <Loaded of={stats} lines={6}>
        {({ warnings }) => <Warnings warnings={warnings} />}
      </Loaded>
      <History />
      <Section title="Now" note="Downloads from upstreams and pushes, as they run." id="now">
        <Transfers />
      </Section>
      <Jobs />
      <Warmed warm={stats.state.value.value?.daemon?.warm} />
      <Section title="Upstreams" note="The registries that are mirrored.">
        <Loaded of={stats} lines={3}>
          {({ daemon }) => <Upstreams upstreams={daemon?.upstreams ?? []} />}
        </Loaded>
      </Section>
      <Report />
      <Section title="Disk" note="What is held, and how much may be.">
        <Loaded of={stats} lines={3}>
          {answer => <Disk stats={answer} live={sample.value?.store} />}
        </Loaded>
      </Section>
      {(isOfferedForAll('gc') || isOfferedForAll('scrub')) && (
        <Section title="Upkeep" note="Both also run by themselves.">
          <div class="buttons">
            {isOfferedForAll('gc') && <ActionButton action="gc" images={[]} label="Collect…" />}
            {isOfferedForAll('scrub') && <ActionButton action="scrub" images={[]} label="Scrub…" />}
          </div>
        </Section>
      )}
    </>
  );
}

/** The figures since the start, in a sentence. */
function Lead({ stats }: { readonly stats: StatsAnswer | undefined }) {
  if (stats === undefined) return <>&nbsp;</>;
  const { daemon, version } = stats;
  if (daemon === null) return <>Version {version}.</>;
  const asked = Object.values(daemon.requests).reduce((total, count) => total + count, 0);
  return (
    <>
      Version {version}, running for {formatSpan(1000 * daemon.uptimeSeconds)}.
      {asked > 0 &&
        ` Since then ${formatCount(asked)} requests for content, ${formatShare(daemon.hitRatio.requests)} answered from here.`}
    </>
  );
}

function LiveMark() {
  const state = liveState.value;
  if (state === 'lost') return <State tone="warn">Not live, connecting again</State>;
  return <State tone={state === 'live' ? 'good' : 'quiet'}>{state === 'live' ? 'Live' : 'Connecting'}</State>;
}
