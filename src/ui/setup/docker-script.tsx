/** The script that does the Docker steps: shown before it is run, with the way to undo it. Where the mirror serves none, nothing is shown. */
import { useEffect, useState } from 'preact/hooks';
import { CodeBlock } from '../parts/copy.tsx';

const path = '/setup/docker.sh';

export function DockerScript({ url }: { readonly url: string }) {
  const [script, setScript] = useState<string | undefined>();
  useEffect(() => {
    const leaving = new AbortController();
    void readScript(leaving.signal).then(setScript);
    return () => leaving.abort();
  }, []);
  if (script === undefined) return null;
  return (
    <div class="script">
      <h3>Or by a script</h3>
      <p>
        It merges the settings into daemon.json, keeps a copy of what was there, does nothing twice, and
        restarts nothing by itself.
      </p>
      <details>
        <summary>Read the script first</summary>
        <CodeBlock text={script} what="the script" caption={path} />
      </details>
      <CodeBlock text={`curl -fsS ${url}${path} | sudo sh`} what="the command that runs the script" />
      <p>To undo it, or to restart Docker in the same go:</p>
      <CodeBlock
        text={`curl -fsS ${url}${path} | sudo sh -s -- --undo\ncurl -fsS ${url}${path} | sudo sh -s -- --restart`}
        what="the other ways to run the script"
      />
    </div>
  );
}

/** Undefined: there is none, or the page was left. */
async function readScript(signal: AbortSignal): Promise<string | undefined> {
  try {
    const response = await fetch(path, { signal });
    const isScript = response.ok && /\bsh|plain/.test(response.headers.get('Content-Type') ?? '');
    return isScript ? await response.text() : undefined;
  } catch (error) {
    if (error instanceof TypeError || (error instanceof DOMException && error.name === 'AbortError'))
      return undefined;
    throw error;
  }
}
