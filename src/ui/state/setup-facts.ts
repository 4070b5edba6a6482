/** What clients have to know of this mirror, asked once: it changes only when the mirror starts anew. */
import { useEffect } from 'preact/hooks';
import type { MirrorForClients } from '../../clients/client-setup.ts';
import { describeForClients } from '../../clients/mirror-description.ts';
import type { SetupAnswer } from '../../http/api/schema/setup.ts';
import { Resource } from './resource.ts';

const facts = new Resource<SetupAnswer>();

export function useSetupFacts(): Resource<SetupAnswer> {
  useEffect(() => {
    const { value, isLoading } = facts.state.peek();
    if (value === undefined && !isLoading) void facts.load('setup');
  }, []);
  return facts;
}

/** As the command line describes it. */
export function mirrorOf({ url, upstreams, defaultUpstream }: SetupAnswer): MirrorForClients {
  const described = upstreams.map(
    ({ key, aliases, directUrl }) => [key, { key, aliases, url: new URL(directUrl) }] as const,
  );
  const config = { upstreams: new Map(described), ...(defaultUpstream !== null && { defaultUpstream }) };
  return describeForClients(config, new URL(url));
}
