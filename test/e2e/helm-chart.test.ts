/** deploy/helm as Helm itself reads it: lint, and what `template` makes of several choices. No cluster is needed, or tried. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { type KubernetesObject, onlyOf, readKubernetesObjects } from '../support/kubernetes-objects.ts';
import { alertExpressions } from '../support/monitoring.ts';
import { goBuildTimeoutMs } from '../support/real/go-program.ts';
import { Helm } from '../support/real/helm.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

const chart = join(projectFolder, 'deploy/helm');
const everything = {
  image: { repository: 'registry.lan/cistern', tag: 'v2', pullPolicy: 'IfNotPresent' },
  imagePullSecrets: [{ name: 'registry' }],
  store: { maxSize: '400GiB' },
  upstreams: {
    'docker.io': { username: 'someone', password_file: '/run/secrets/cistern/docker.io' },
    'gcr.io': {},
    'quay.io': null,
  },
  config: { tags: { ttl: '5m' }, upstreams: { 'ghcr.io': { max_transfers: 8 } }, offline: false },
  secretName: 'passwords',
  service: { type: 'NodePort', nodePort: 30500, annotations: { 'example.com/team': 'platform' } },
  hostPort: 0,
  ingress: {
    enabled: true,
    className: 'nginx',
    host: 'mirror.lan',
    tls: { secretName: 'mirror-tls' },
    trustedProxies: ['10.0.0.0/8'],
  },
  persistence: { size: '500Gi', storageClass: 'fast' },
  monitoring: {
    annotations: false,
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  },
  podAnnotations: { 'example.com/pod': 'yes' },
  nodeSelector: { 'cistern-mirror': 'here' },
  tolerations: [{ key: 'storage', operator: 'Exists' }],
};

requires('go-modules')('the Helm chart', () => {
  let helm: Helm;

  beforeAll(async () => {
    helm = await Helm.find();
  }, goBuildTimeoutMs);

  test('passes lint, with its own values and with all of them changed', async () => {
    for (const words of [[], ['--values', await valuesFile(everything)]]) {
      const { code, stdout, stderr } = await helm.run('lint', '--strict', chart, ...words);
      expect(code, stdout + stderr).toBe(0);
      expect(stdout).not.toMatch(/WARNING|ERROR/);
    }
  });

  test('refuses a value that it does not know, and a limit without a unit', async () => {
    for (const [wrong, said] of [
      [{ persistance: { size: '1Gi' } }, "additional properties 'persistance' not allowed"],
      [{ store: { maxSize: '50' } }, "at '/store/maxSize'"],
      [{ persistence: { size: '50GiB' } }, "at '/persistence/size'"],
    ] as const) {
      const { code, stderr } = await helm.run('template', 'lab', chart, '--values', await valuesFile(wrong));
      expect([code, stderr]).toEqual([1, expect.stringContaining(said)]);
    }
  });

  test('makes four objects, which refer to each other, as the manifest without Helm does', async () => {
    const objects = await render({});
    expect(objects.map(({ kind }) => kind).sort()).toEqual([
      'ConfigMap',
      'Deployment',
      'PersistentVolumeClaim',
      'Service',
    ]);
    expectReferences(objects);
    const { metadata, spec } = onlyOf('Deployment', objects).spec.template;
    const [cistern] = spec.containers;
    expect(metadata.annotations).toMatchObject({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': '5000',
      'prometheus.io/path': '/metrics',
      'prometheus.io/scheme': 'http',
    });
    expect(cistern).toMatchObject({
      image: 'localhost/cistern:0.1.0',
      imagePullPolicy: 'Never',
      ports: [{ name: 'http', containerPort: 5000, hostPort: 5000 }],
      livenessProbe: { httpGet: { path: '/healthz', port: 'http', scheme: 'HTTP' } },
      readinessProbe: { httpGet: { path: '/readyz', port: 'http', scheme: 'HTTP' } },
      resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '1Gi' } },
    });
    expect(spec.securityContext).toMatchObject({ runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 });
    const { config, warnings } = await loadRendered(objects);
    expect(warnings).toEqual([]);
    expect(config.store.maxBytes).toBe(90 * 2 ** 30);
    expect([...config.upstreams.keys()]).toEqual(['docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io']);
    expect(spec.terminationGracePeriodSeconds * 1000).toBeGreaterThan(config.http.drainMs);
  });

  test('puts every value where it belongs', async () => {
    const objects = await render(everything);
    expectReferences(objects);
    const { metadata, spec } = onlyOf('Deployment', objects).spec.template;
    const [cistern] = spec.containers;
    expect(metadata.annotations).toEqual({
      'checksum/config': expect.stringMatching(/^[0-9a-f]{64}$/),
      'example.com/pod': 'yes',
    });
    expect(cistern).toMatchObject({ image: 'registry.lan/cistern:v2', imagePullPolicy: 'IfNotPresent' });
    expect(cistern.ports).toEqual([{ name: 'http', containerPort: 5000 }]);
    expect(spec).toMatchObject({
      imagePullSecrets: everything.imagePullSecrets,
      nodeSelector: everything.nodeSelector,
      tolerations: everything.tolerations,
    });
    expect(cistern.volumeMounts).toContainEqual({
      name: 'secrets',
      mountPath: '/run/secrets/cistern',
      readOnly: true,
    });
    expect(spec.volumes).toContainEqual({
      name: 'secrets',
      secret: { secretName: 'passwords', defaultMode: 0o440 },
    });
    expect(onlyOf('Service', objects)).toMatchObject({
      metadata: { annotations: everything.service.annotations },
      spec: { type: 'NodePort', ports: [{ port: 5000, nodePort: 30500 }] },
    });
    expect(onlyOf('PersistentVolumeClaim', objects).spec).toEqual({
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'fast',
      resources: { requests: { storage: '500Gi' } },
    });
    expect(onlyOf('Ingress', objects)).toMatchObject({
      metadata: { annotations: { 'nginx.ingress.kubernetes.io/proxy-body-size': '0' } },
      spec: {
        ingressClassName: 'nginx',
        tls: [{ hosts: ['mirror.lan'], secretName: 'mirror-tls' }],
        rules: [{ host: 'mirror.lan' }],
      },
    });
    const tree = parse(mirrorYml(objects));
    expect(Object.keys(tree.upstreams).sort()).toEqual(['docker.io', 'gcr.io', 'ghcr.io', 'registry.k8s.io']);
    expect(tree).toMatchObject({
      http: { public_url: 'https://mirror.lan', trusted_proxies: ['10.0.0.0/8'] },
      store: { max_size: '400GiB' },
      tags: { ttl: '5m' },
      upstreams: { 'ghcr.io': { max_transfers: 8 }, 'docker.io': everything.upstreams['docker.io'] },
    });
  });

  test('hands alerts and dashboard to the Prometheus operator and to Grafana', async () => {
    const objects = await render(everything);
    const labels = { 'app.kubernetes.io/name': 'cistern', 'app.kubernetes.io/instance': 'lab' };
    const { spec, metadata } = onlyOf('ServiceMonitor', objects);
    expect(metadata.labels).toMatchObject({ ...labels, release: 'prometheus' });
    const service = onlyOf('Service', objects);
    expect(service.metadata.labels).toMatchObject(spec.selector.matchLabels);
    expect(spec.endpoints[0].port).toBe(service.spec.ports[0].name);
    // The alerts ask for this job.
    expect(service.metadata.labels[spec.jobLabel]).toBe('cistern');
    const [group] = onlyOf('PrometheusRule', objects).spec.groups;
    expect(group?.rules.map(({ alert, expr }) => ({ alert, expr }))).toEqual(
      alertExpressions().map(({ title, text }) => ({ alert: title, expr: text })),
    );
    const maps = objects.filter(one => one.kind === 'ConfigMap');
    const dashboard = maps.find(one => one.data['cistern.json'] !== undefined);
    expect(dashboard?.metadata.labels).toMatchObject({ grafana_dashboard: '1' });
    expect(JSON.parse(dashboard?.data['cistern.json'] ?? '')).toMatchObject({ uid: 'cistern' });
  });

  test('a TLS secret, hosted repositories and an existing claim end up in pod and mirror.yml', async () => {
    const objects = await render({
      tls: { secretName: 'own-tls' },
      hosted: { repositories: ['team/**'] },
      persistence: { existingClaim: 'old' },
      ingress: { enabled: true },
    });
    expect(objects.map(({ kind }) => kind)).not.toContain('PersistentVolumeClaim');
    const { metadata, spec } = onlyOf('Deployment', objects).spec.template;
    const [cistern] = spec.containers;
    for (const probe of [cistern.startupProbe, cistern.livenessProbe, cistern.readinessProbe])
      expect(probe.httpGet.scheme).toBe('HTTPS');
    expect(metadata.annotations['prometheus.io/scheme']).toBe('https');
    expect(spec.volumes).toContainEqual({ name: 'data', persistentVolumeClaim: { claimName: 'old' } });
    const mount = cistern.volumeMounts.find(({ name }) => name === 'tls');
    const { http, hosted } = parse(mirrorYml(objects));
    expect(http.tls).toEqual({
      certificate: `${mount?.mountPath}/tls.crt`,
      key: `${mount?.mountPath}/tls.key`,
    });
    expect(hosted).toEqual({ repositories: ['team/**'] });
    expect(onlyOf('Ingress', objects).metadata.annotations).toMatchObject({
      'nginx.ingress.kubernetes.io/backend-protocol': 'HTTPS',
    });
    const temporary = await render({ persistence: { enabled: false } });
    expect(onlyOf('Deployment', temporary).spec.template.spec.volumes).toContainEqual({
      name: 'data',
      emptyDir: { sizeLimit: '100Gi' },
    });
  });

  async function render(values: object): Promise<readonly KubernetesObject[]> {
    const words = ['lab', chart, '--namespace', 'mirrors', '--values', await valuesFile(values)];
    return readKubernetesObjects(await helm.template(...words));
  }
});

/** JSON is YAML. */
async function valuesFile(values: object): Promise<string> {
  const path = join(await tempDir(), 'values.yaml');
  await writeFile(path, JSON.stringify(values));
  return path;
}

/** Nothing refers to what isn't there. */
function expectReferences(objects: readonly KubernetesObject[]): void {
  for (const { metadata } of objects) expect(metadata.namespace).toBe('mirrors');
  const { selector, template } = onlyOf('Deployment', objects).spec;
  const [cistern] = template.spec.containers;
  expect(template.metadata.labels).toMatchObject(selector.matchLabels);
  const service = onlyOf('Service', objects);
  expect(template.metadata.labels).toMatchObject(service.spec.selector);
  expect(service.spec.ports[0].targetPort).toBe(cistern.ports[0].name);
  expect(cistern.volumeMounts.map(({ name }) => name)).toEqual(template.spec.volumes.map(({ name }) => name));
  const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  for (const volume of template.spec.volumes) {
    if ('configMap' in volume) expect(names).toContain(`ConfigMap ${volume.configMap.name}`);
    if ('persistentVolumeClaim' in volume)
      expect(names).toContain(`PersistentVolumeClaim ${volume.persistentVolumeClaim.claimName}`);
  }
  for (const one of objects)
    if (one.kind === 'Ingress')
      expect(one.spec.rules[0].http.paths[0].backend.service).toEqual({
        name: service.metadata.name,
        port: { name: service.spec.ports[0].name },
      });
}

function mirrorYml(objects: readonly KubernetesObject[]): string {
  const files = objects.flatMap(one => (one.kind === 'ConfigMap' ? [one.data['mirror.yml']] : []));
  return files.find(one => one !== undefined) ?? '';
}

async function loadRendered(objects: readonly KubernetesObject[]) {
  const folder = await tempDir();
  const file = join(folder, 'mirror.yml');
  await writeFile(file, mirrorYml(objects));
  return await loadConfig({ file, env: {}, cwd: folder });
}
