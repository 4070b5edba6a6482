/** The registry in memory does what every registry that can be pushed to must do. */
import { MemoryHostedRegistry } from './memory-registry.ts';
import { describeRegistryWriter } from './registry-writer.ts';

describeRegistryWriter('MemoryHostedRegistry', async () => new MemoryHostedRegistry());
