/** The routes that only read: each answer is what its source gives to this caller. Lists have a `Link` to the next page. */
import { RegistryError } from '../../oci/error.ts';
import { formatNextLink } from '../../oci/header-fields.ts';
import type { Caller } from '../../registry/caller.ts';
import type { AppContext } from '../exchange.ts';
import { type ApiRequest, json, type PageApiOptions } from './api-request.ts';
import { imageQuery, imagesQuery, offlineQuery, repositoriesQuery } from './schema/images.ts';
import { reportQuery } from './schema/report.ts';
import { coldQuery, historyQuery } from './schema/stats.ts';
import type { Page } from './sources.ts';
import { withoutNames } from './stats.ts';

/** Errors: those of the sources; UNSUPPORTED (404) for an unknown job. */
export async function answerRead(
  { context, route, query, parameter }: ApiRequest,
  caller: Caller,
  { sources, realm, access }: PageApiOptions,
): Promise<void> {
  const { signal } = context.state.exchange;
  switch (route) {
    case 'setup':
      return json(context, {
        url: realm.baseOf(context.req),
        ...sources.setup(),
        hasUsers: access.hasUsers,
      });
    case 'stats':
      return json(context, withoutNames(await sources.stats()));
    case 'upstreams':
      return json(context, { upstreams: (await sources.stats()).daemon?.upstreams ?? [] });
    case 'history':
      return json(context, await sources.usage.history(historyQuery.parse(query).days, signal));
    case 'transfers':
      return json(context, await sources.live.transfers(caller));
    case 'cold':
      return json(context, await sources.cold.first(coldQuery.parse(query).n, caller, signal));
    case 'report':
      return json(context, await sources.usage.report(reportQuery.parse(query), caller, signal));
    case 'repositories': {
      const page = await sources.repositories.page(repositoriesQuery.parse(query), caller, signal);
      return answerPage(context, page, { repositories: page.rows });
    }
    case 'images': {
      const page = await sources.images.page(imagesQuery.parse(query), caller, signal);
      return answerPage(context, page, { images: page.rows });
    }
    case 'image':
      return json(context, await sources.image.of(imageQuery.parse(query), caller, signal));
    case 'offline': {
      const page = await sources.offline.page(offlineQuery.parse(query), caller, signal);
      const summary = await sources.offline.summary(caller);
      return answerPage(context, page, { images: page.rows, summary });
    }
    case 'job': {
      const job = sources.actions.job(parameter, caller);
      if (job === undefined) throw notHere('there is no such job');
      return json(context, job);
    }
    default:
      throw notHere('the API has no such path');
  }
}

/** The next page has the same query, but for `last`. */
function answerPage(context: AppContext, { next }: Page<unknown>, value: object): void {
  if (next !== undefined) {
    const query = new URLSearchParams(context.querystring);
    query.set('last', next);
    context.set('Link', formatNextLink(`${context.path}?${query}`));
  }
  json(context, value);
}

function notHere(message: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { status: 404, message });
}
