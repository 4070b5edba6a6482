/**
 * What this room uses of undici, loaded from its parts: the package as a whole also loads a fetch, mocks, caches and a
 * WebSocket, which cost an idle process 4 MB. The test beside this file holds the parts to be those of the package.
 */
import { createRequire } from 'node:module';
import type * as Undici from 'undici';

const require = createRequire(import.meta.url);
const dispatcher: { readonly prototype: object } = require('undici/lib/dispatcher/dispatcher');
const methods: object = require('undici/lib/api');
Object.assign(dispatcher.prototype, methods); // `request` and the like, as the package does it

export type Dispatcher = Undici.Dispatcher;
/** The body of an answer: a stream that can also be dumped. */
export type Body = Undici.Dispatcher.ResponseData['body'];
/** Opens a socket for a pool of connections. */
export type Connector = Undici.buildConnector.connector;
export type ConnectorCallback = Undici.buildConnector.Callback;

export type Agent = Undici.Agent;
export const Agent: typeof Undici.Agent = require('undici/lib/dispatcher/agent');
export const Pool: typeof Undici.Pool = require('undici/lib/dispatcher/pool');
export type ProxyAgent = Undici.ProxyAgent;
export const ProxyAgent: typeof Undici.ProxyAgent = require('undici/lib/dispatcher/proxy-agent');
export const buildConnector: typeof Undici.buildConnector = require('undici/lib/core/connect');
export const errors: typeof Undici.errors = require('undici/lib/core/errors');
