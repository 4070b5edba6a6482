/**
 * Every route of `/api/v1` on a TCP port: what it takes and gives, and who may use it. Requests are dispatched and checked by this table,
 * and OpenAPI is generated from it, so that none of them can say something else.
 */
import type { z } from 'zod';
import { actionAnswer, actionRequest, jobAnswer } from './actions.ts';
import {
  imageAnswer,
  imageQuery,
  imagesAnswer,
  imagesQuery,
  offlineAnswer,
  offlineQuery,
  repositoriesAnswer,
  repositoriesQuery,
} from './images.ts';
import { reportAnswer, reportQuery } from './report.ts';
import { loginRequest, sessionAnswer } from './session.ts';
import { setupAnswer } from './setup.ts';
import { coldAnswer, coldQuery, historyAnswer, historyQuery, statsAnswer, upstreamsAnswer } from './stats.ts';
import { sampleEvent, transfersAnswer } from './transfers.ts';

/**
 * `anyone`: the answer says nothing but what the caller may pull. `login`: figures about all of it; where there are users, for those who are
 * logged in. `change`: a login, the `admin` action for what it names, and an `Origin` of this registry.
 */
export type Need = 'anyone' | 'login' | 'change';

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Below `/api/v1/`; `{id}` and `{action}` stand for one segment. */
  readonly path: string;
  readonly summary: string;
  readonly need: Need;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly answer?: z.ZodType;
  /** Default: 200. */
  readonly status?: number;
  /** The answer is a stream of server-sent events whose data has the shape of `answer`. */
  readonly isStream?: boolean;
  /** It has a `Link` to the next page. */
  readonly isPaged?: boolean;
}

export const routes = {
  session: {
    method: 'GET',
    path: 'session',
    summary: 'Who is logged in, and what they may do',
    need: 'anyone',
    answer: sessionAnswer,
  },
  login: {
    method: 'POST',
    path: 'session',
    summary: 'Logs in: sets the cookie cistern_session',
    need: 'anyone',
    body: loginRequest,
    answer: sessionAnswer,
  },
  logout: {
    method: 'DELETE',
    path: 'session',
    summary: 'Ends the session',
    need: 'anyone',
    status: 204,
  },
  setup: {
    method: 'GET',
    path: 'setup',
    summary: 'What a client has to know',
    need: 'anyone',
    answer: setupAnswer,
  },
  stats: {
    method: 'GET',
    path: 'stats',
    summary: 'Figures of the store and the daemon',
    need: 'login',
    answer: statsAnswer,
  },
  upstreams: {
    method: 'GET',
    path: 'upstreams',
    summary: 'How each upstream is doing',
    need: 'login',
    answer: upstreamsAnswer,
  },
  history: {
    method: 'GET',
    path: 'history',
    summary: 'Requests and bytes over time, for plots',
    need: 'login',
    query: historyQuery,
    answer: historyAnswer,
  },
  transfers: {
    method: 'GET',
    path: 'transfers',
    summary: 'Running downloads and uploads',
    need: 'login',
    answer: transfersAnswer,
  },
  cold: {
    method: 'GET',
    path: 'cold',
    summary: 'What is cold: the order in which an eviction takes blobs',
    need: 'login',
    query: coldQuery,
    answer: coldAnswer,
  },
  report: {
    method: 'GET',
    path: 'report',
    summary: 'Was it worth it',
    need: 'login',
    query: reportQuery,
    answer: reportAnswer,
  },
  events: {
    method: 'GET',
    path: 'events',
    summary: 'Server-sent events: `sample` once a second, `job` as jobs change',
    need: 'login',
    answer: sampleEvent,
    isStream: true,
  },
  repositories: {
    method: 'GET',
    path: 'repositories',
    summary: 'Mirrored and hosted repositories, sorted by name; with q a search',
    need: 'anyone',
    query: repositoriesQuery,
    answer: repositoriesAnswer,
    isPaged: true,
  },
  images: {
    method: 'GET',
    path: 'images',
    summary: 'Held images, sorted by repository and tag',
    need: 'anyone',
    query: imagesQuery,
    answer: imagesAnswer,
    isPaged: true,
  },
  image: {
    method: 'GET',
    path: 'image',
    summary: 'One held image: layers, config, referrers, tag history',
    need: 'anyone',
    query: imageQuery,
    answer: imageAnswer,
  },
  offline: {
    method: 'GET',
    path: 'offline',
    summary: 'What can be pulled with the line cut, and what the others lack',
    need: 'anyone',
    query: offlineQuery,
    answer: offlineAnswer,
    isPaged: true,
  },
  action: {
    method: 'POST',
    path: 'actions/{action}',
    summary: 'Begins warm, pin, unpin, evict, delete, restore, promote, gc or scrub',
    need: 'change',
    body: actionRequest,
    answer: actionAnswer,
    status: 202,
  },
  job: {
    method: 'GET',
    path: 'jobs/{id}',
    summary: 'How far an action is',
    need: 'login',
    answer: jobAnswer,
  },
  openapi: {
    method: 'GET',
    path: 'openapi.json',
    summary: 'This description',
    need: 'anyone',
  },
} as const satisfies Readonly<Record<string, Route>>;

export type RouteName = keyof typeof routes;
