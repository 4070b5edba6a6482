/** Set up: the files that point a client at this very host, as `cistern client` prints them, a check, and the script. */
import {
  type ClientFile,
  ClientRefusal,
  type ClientSetup,
  type MirrorForClients,
} from '../../clients/client-setup.ts';
import { setUpClient } from '../../clients/clients.ts';
import type { SetupAnswer } from '../../http/api/schema/setup.ts';
import { CodeBlock } from '../parts/copy.tsx';
import { Loaded } from '../parts/loading.tsx';
import { Notice } from '../parts/notice.tsx';
import { PageHead, Section } from '../parts/section.tsx';
import { replaceQuery, route } from '../state/navigation.ts';
import { mirrorOf, useSetupFacts } from '../state/setup-facts.ts';
import { type ClientEntry, findClient, runCommand, tryCommand, writeCommand } from '../text/client-steps.ts';
import { ClientList } from './client-list.tsx';
import { DockerScript } from './docker-script.tsx';
import { RegistryCheck } from './registry-check.tsx';

export function Setup() {
  const facts = useSetupFacts();
  const chosen = findClient(route.value.query['client']);
  return (
    <>
      <PageHead
        title="Set up"
        lead="Cistern keeps what is pulled through it: the next pull of any machine comes from here, also without Internet. Point a client at it once. Where it can't help, the client asks the registry itself."
      />
      <Loaded of={facts} lines={14}>
        {answer => <Steps answer={answer} mirror={mirrorOf(answer)} chosen={chosen} />}
      </Loaded>
    </>
  );
}

interface StepsProps {
  readonly answer: SetupAnswer;
  readonly mirror: MirrorForClients;
  readonly chosen: ClientEntry;
}

function Steps({ answer, mirror, chosen }: StepsProps) {
  return (
    <>
      <Section title="This mirror" note="Its address, as your browser knows it.">
        <Address answer={answer} mirror={mirror} />
        <RegistryCheck answer={answer} mirror={mirror} />
      </Section>
      <Section
        title="Your client"
        note={
          <ClientList
            chosen={chosen.client}
            onChoose={client => replaceQuery({ client: client === 'docker' ? '' : client })}
          />
        }
      >
        <h3 class="client-name">{chosen.label}</h3>
        <ClientSteps key={chosen.client} chosen={chosen} mirror={mirror} />
        {chosen.client === 'docker' && <DockerScript url={mirror.url} />}
      </Section>
      {answer.hosted.length > 0 && (
        <Section title="Push" note="Names that are hosted here.">
          <Push answer={answer} mirror={mirror} />
        </Section>
      )}
    </>
  );
}

function Address({ answer: { hasAuthority, hasUsers }, mirror }: Omit<StepsProps, 'chosen'>) {
  return (
    <>
      <dl class="pairs">
        <div>
          <dt>Address</dt>
          <dd>
            <code>{mirror.url}</code>
          </dd>
        </div>
        <div>
          <dt>Mirrors</dt>
          <dd>
            {mirror.upstreams.length === 0
              ? 'nothing: it is a private registry'
              : mirror.upstreams.map(({ key }) => key).join(', ')}
          </dd>
        </div>
        <div>
          <dt>Login</dt>
          <dd>{hasUsers ? <code>docker login {mirror.host}</code> : 'not needed'}</dd>
        </div>
      </dl>
      {mirror.isLoopback && (
        <Notice tone="warn" title="Only clients on this machine reach this address">
          Open this page by the name or address of the machine, and the files below are for that one.
        </Notice>
      )}
      {hasAuthority && (
        <Notice tone="note" title="Clients have to trust its own authority first">
          <a href="/ca.pem" download="ca.pem">
            Get ca.pem
          </a>
          ; for Docker it goes to <code>/etc/docker/certs.d/{mirror.host}/ca.crt</code>. On the mirror,{' '}
          <code>cistern certs</code> prints the commands for every kind of client, and its fingerprint.
        </Notice>
      )}
    </>
  );
}

/** Errors of a client that can't use this address are said in its place. */
function ClientSteps({
  chosen,
  mirror,
}: {
  readonly chosen: ClientEntry;
  readonly mirror: MirrorForClients;
}) {
  const setup = setUp(chosen, mirror);
  if (setup instanceof ClientRefusal)
    return (
      <Notice tone="warn" title={`${chosen.label} can't use this address`}>
        {setup.message}.
      </Notice>
    );
  const { files, commands, notes } = setup;
  const tried = tryCommand(chosen.client, mirror);
  return (
    <ol class="client-steps">
      {files.map(file => (
        <li key={file.path}>
          <FileStep file={file} />
        </li>
      ))}
      {commands.length > 0 && (
        <li>
          <p>{files.length === 0 ? 'Use it so:' : 'Then run:'}</p>
          <CodeBlock text={commands.map(runCommand).join('\n')} what="the commands" />
        </li>
      )}
      {tried !== undefined && (
        <li>
          <p>Try it; the image then stands under Images:</p>
          <CodeBlock text={tried} what="the pull" />
        </li>
      )}
      {notes.length > 0 && (
        <li class="client-notes">
          <p>Good to know:</p>
          <ul>
            {notes.map(note => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </li>
      )}
    </ol>
  );
}

function FileStep({ file }: { readonly file: ClientFile }) {
  const command = writeCommand(file);
  if (command === undefined)
    return (
      <>
        <p>
          Add this to <code>{file.path}</code>. Where the file does not exist, this is all of it; where it
          does, keep what is in it:
        </p>
        <CodeBlock text={file.content} what={file.path} caption={file.path} />
      </>
    );
  return (
    <>
      <p>
        Write <code>{file.path}</code>:
      </p>
      <CodeBlock text={command} what={`the command that writes ${file.path}`} />
    </>
  );
}

function Push({ answer: { hosted, hasUsers }, mirror }: Omit<StepsProps, 'chosen'>) {
  const [pattern = '**'] = hosted;
  const name = pattern.replaceAll('**', 'app').replaceAll('*', 'app');
  const lines = [
    ...(hasUsers ? [`docker login ${mirror.host}`] : []),
    `docker tag busybox:latest ${mirror.host}/${name}:1.0`,
    `docker push ${mirror.host}/${name}:1.0`,
  ];
  return (
    <>
      <p>
        Pushes are taken for{' '}
        {hosted.map((one, index) => (
          <>
            {index > 0 && ', '}
            <code>{one}</code>
          </>
        ))}
        .
      </p>
      <CodeBlock text={lines.join('\n')} what="the commands of a push" />
    </>
  );
}

function setUp({ client }: ClientEntry, mirror: MirrorForClients): ClientSetup | ClientRefusal {
  try {
    return setUpClient(client, mirror);
  } catch (error) {
    if (error instanceof ClientRefusal) return error;
    throw error;
  }
}
