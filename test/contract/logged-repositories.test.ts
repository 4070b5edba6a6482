/** The append-only files do what every log of hosted repositories must do. */
import { HostedLogRig } from '../support/hosted-log.ts';
import { describeHostedLog } from './hosted-log.ts';

describeHostedLog('LoggedRepositories', async () => {
  const rig = await HostedLogRig.create();
  return { start: async () => (await rig.start()).log };
});
