/** How each client pulls this image through this mirror: by its own name after a set-up, or by the mirror's name. */
import { useRef } from 'preact/hooks';
import { CopyButton } from '../parts/copy.tsx';
import { Loaded } from '../parts/loading.tsx';
import { mirrorOf, useSetupFacts } from '../state/setup-facts.ts';
import { type PullCommand, pullCommands } from '../text/image-name.ts';
import { formatRoute } from '../text/route.ts';

export function PullCommands({ image }: { readonly image: string }) {
  const facts = useSetupFacts();
  return (
    <Loaded of={facts} lines={6}>
      {answer => {
        const { bySettings, byName } = pullCommands(image, mirrorOf(answer));
        return (
          <div class="pull">
            {bySettings.length > 0 && (
              <div>
                <h3>
                  By its own name, once the client is <a href={formatRoute('setup')}>set up</a>
                </h3>
                <CommandList commands={bySettings} />
              </div>
            )}
            <div>
              <h3>By the name of this mirror</h3>
              {byName.length === 0 ? (
                <p class="quiet">
                  Image names have no ports in their path: this upstream needs an alias without one
                  (upstreams.…aliases).
                </p>
              ) : (
                <CommandList commands={byName} />
              )}
            </div>
          </div>
        );
      }}
    </Loaded>
  );
}

function CommandList({ commands }: { readonly commands: readonly PullCommand[] }) {
  return (
    <ul>
      {commands.map(command => (
        <Command key={command.client} command={command} />
      ))}
    </ul>
  );
}

function Command({ command: { client, command } }: { readonly command: PullCommand }) {
  const source = useRef<HTMLElement>(null);
  return (
    <li class="command">
      <span class="quiet">{client}</span>
      <code ref={source}>{command}</code>
      <CopyButton text={command} what={`the command for ${client}`} source={source} />
    </li>
  );
}
