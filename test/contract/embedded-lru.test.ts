/** The index in this process does what every LRU index must do. */
import { EmbeddedLru } from '../../src/lru/index/embedded-lru.ts';
import { describeLru } from './lru.ts';
import { describeEviction } from './lru-eviction.ts';

describeLru('EmbeddedLru', ({ now }) => Promise.resolve(new EmbeddedLru({ now })));
describeEviction('EmbeddedLru', ({ now }) => Promise.resolve(new EmbeddedLru({ now })));
