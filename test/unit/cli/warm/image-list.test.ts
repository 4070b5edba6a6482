/** Which images files name: lines, Kubernetes manifests of any kind, Compose files with variables; and what is wrong with one. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { readComposeFile, readKubernetesFile, readListFile } from '../../../../src/cli/warm/image-list.ts';
import { tempDir } from '../../../support/temp-dir.ts';

let folder: string;

beforeEach(async () => {
  folder = await tempDir();
});

async function put(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

test('a line is an image; blanks, comments and Windows line ends are none', async () => {
  const path = await put(
    'list',
    '# all\r\nalpine:3.20 # base\r\n\r\n  ghcr.io/owner/app@sha256:00\n#busybox\n',
  );
  expect(await readListFile(path)).toEqual({
    images: ['alpine:3.20', 'ghcr.io/owner/app@sha256:00'],
    notes: [],
  });
  await expect(readListFile(join(folder, 'none'))).rejects.toThrow(
    `cannot read ${folder}/none: there is no such file`,
  );
});

test('Pods wherever they stand: workloads, CronJobs, Lists, operators; init containers and image volumes', async () => {
  const path = await put(
    'all.yaml',
    `
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{ name: wait, image: busybox }]
      containers: [{ name: web, image: "nginx:1.27" }]
      volumes: [{ name: model, image: { reference: "quay.io/models/m:1" } }, { name: tmp, emptyDir: {} }]
---
# nothing
---
apiVersion: v1
kind: List
items:
  - kind: CronJob
    spec: { jobTemplate: { spec: { template: { spec: { containers: [{ image: cron }] } } } } }
  - kind: Pod
    spec: { containers: [{ image: app }], ephemeralContainers: [{ image: debug }] }
---
kind: Rollout
spec: { template: { spec: { containers: [{ image: operated }, { name: none }] } } }
---
kind: ConfigMap
data: { image: no-image, containers: text }
`,
  );
  const { images } = await readKubernetesFile(path);
  expect([...images].sort()).toEqual(
    ['app', 'busybox', 'cron', 'debug', 'nginx:1.27', 'operated', 'quay.io/models/m:1'].sort(),
  );
});

test('a chart that is not rendered is told with its line and what to do', async () => {
  const path = await put('chart.yaml', 'spec:\n  image: {{ .Values.image }}\n  x: [}\n');
  await expect(readKubernetesFile(path)).rejects.toThrow(/chart\.yaml:\d+: .*helm template/);
});

test('a Compose file: variables of the environment before those of .env; what is built is left out', async () => {
  await put('.env', 'TAG=1.0\nexport REGISTRY="ghcr.io"\n# NO=1\nEMPTY=\n');
  const path = await put(
    'compose.yml',
    `
x-base: &base { image: "app:\${TAG}" }
services:
  app: { <<: *base }
  db: { image: "\${REGISTRY}/db:\${DB_TAG:-16}" }
  cache: { image: "redis:\${EMPTY:-7}\${EMPTY-none}" }
  own: { build: ., image: own }
  odd:
`,
  );
  expect(await readComposeFile(path, { TAG: '2.0' })).toEqual({
    images: ['app:2.0', 'ghcr.io/db:16', 'redis:7'],
    notes: [`${path}: own is built and left out`],
  });
  const other = await put('other.yml', 'hello: world\n');
  await expect(readComposeFile(other, {})).rejects.toThrow('has no services: it is no Compose file');
});
