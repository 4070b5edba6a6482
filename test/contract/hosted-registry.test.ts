/** The private registry, over its real log, uploads and store, does what every registry that can be pushed to must do. */
import { createHostedRig } from '../support/hosted-rig.ts';
import { describeRegistryWriter } from './registry-writer.ts';

describeRegistryWriter('HostedRegistry', async () => (await createHostedRig()).registry);
