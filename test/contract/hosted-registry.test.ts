/** The private registry does what every registry that can be pushed to must do; its log and its uploads are in memory here. */
import type { UploadSession } from '../../src/registry/writer.ts';
import { createHostedRig } from '../support/hosted-rig.ts';
import { MemoryHostedRegistry } from './memory-registry.ts';
import { describeRegistryWriter } from './registry-writer.ts';

describeRegistryWriter('HostedRegistry', async () => {
  const memory = new MemoryHostedRegistry();
  const rig = await createHostedRig({
    uploads: {
      startUpload: async (repository, start, options) => {
        const started = await memory.startUpload(repository, start, options);
        if (started.kind === 'session') return storing(started, repository);
        await keep(repository, started.digest);
        return started;
      },
      upload: async (repository, id, options) =>
        storing(await memory.upload(repository, id, options), repository),
    },
  });
  type Name = Parameters<typeof rig.push>[0];
  type Digest = Parameters<UploadSession['commit']>[0];
  async function keep(repository: Name, digest: Digest): Promise<void> {
    const signal = new AbortController().signal;
    const { reader, size = 0 } = await memory.blob(repository, digest, undefined, { signal });
    const bytes = Buffer.alloc(size);
    await reader.read(bytes, 0);
    await rig.push(repository, { digest, size, slice: (start, end) => bytes.subarray(start, end) });
  }
  function storing(session: UploadSession, repository: Name): UploadSession {
    return {
      kind: 'session',
      id: session.id,
      get offset() {
        return session.offset;
      },
      expected: session.expected,
      append: (...asked) => session.append(...asked),
      cancel: () => session.cancel(),
      commit: async (digest, options) => {
        const stored = await session.commit(digest, options);
        await keep(repository, digest);
        return stored;
      },
    };
  }
  return rig.registry;
});
