/** `/api/v1/setup`: what a client has to know of this registry to use it. `describeForClients` of `src/clients` takes it. */
import { z } from 'zod';
import { list } from './values.ts';

export const setupAnswer = z.object({
  /** `public_url`, else as the request came: neither path nor trailing slash. */
  url: z.string(),
  upstreams: list(
    z.object({
      key: z.string().describe('the host as it stands in image names: ghcr.io'),
      /** Further names of it, which may stand in paths where the key has a port. */
      aliases: list(z.string()),
      directUrl: z.string().describe('where clients go without this mirror'),
    }),
  ),
  /** The key of the upstream that names without a host mean; null: there is none. */
  defaultUpstream: z.string().nullable(),
  /** Patterns over the names that can be pushed; empty: none. */
  hosted: list(z.string()),
  /** `/ca.pem` has the certificate of its own authority, which clients have to trust. */
  hasAuthority: z.boolean(),
  hasUsers: z.boolean(),
});

export type SetupAnswer = z.infer<typeof setupAnswer>;
