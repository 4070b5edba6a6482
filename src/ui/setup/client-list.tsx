/** The clients to choose from, in groups: one set of radio buttons. */
import type { ClientName } from '../../clients/client-setup.ts';
import { clientGroups } from '../text/client-steps.ts';

interface ClientListProps {
  readonly chosen: ClientName;
  readonly onChoose: (client: ClientName) => void;
}

export function ClientList({ chosen, onChoose }: ClientListProps) {
  return (
    <span class="clients" role="radiogroup" aria-label="Client">
      {clientGroups.map(({ title, clients }) => (
        <span key={title} class="client-group">
          <span class="client-group-title">{title}</span>
          <span class="client-group-items">
            {clients.map(({ client, label }) => (
              <label key={client}>
                <input
                  type="radio"
                  name="client"
                  checked={client === chosen}
                  onChange={() => onChoose(client)}
                />
                <span>{label}</span>
              </label>
            ))}
          </span>
        </span>
      ))}
    </span>
  );
}
