/**
 * deploy/kubernetes.yaml against the shape of what it uses of the Kubernetes API: an unknown, misspelt or misplaced field
 * fails, and so does a reference to something that the file doesn't define.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

const root = join(import.meta.dirname, '../../..');

const dnsLabel = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
const labels = z.record(z.string(), z.string());
const port = z.int().min(1).max(65535);
const named = z.strictObject({ name: dnsLabel, namespace: dnsLabel });
const httpProbe = z.strictObject({
  httpGet: z.strictObject({ path: z.string().startsWith('/'), port: z.union([port, dnsLabel]) }),
  periodSeconds: z.int().positive().optional(),
  timeoutSeconds: z.int().positive().optional(),
  failureThreshold: z.int().positive().optional(),
});
const container = z.strictObject({
  name: dnsLabel,
  image: z.string(),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
  env: z.array(z.strictObject({ name: z.string(), value: z.string() })),
  ports: z.array(z.strictObject({ name: dnsLabel.max(15), containerPort: port, hostPort: port })),
  startupProbe: httpProbe,
  livenessProbe: httpProbe,
  readinessProbe: httpProbe,
  resources: z.strictObject({
    requests: z.strictObject({ cpu: z.string(), memory: z.string() }),
    limits: z.strictObject({ memory: z.string() }),
  }),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.boolean(),
    readOnlyRootFilesystem: z.boolean(),
    capabilities: z.strictObject({ drop: z.array(z.string()) }),
  }),
  volumeMounts: z.array(
    z.strictObject({ name: dnsLabel, mountPath: z.string(), readOnly: z.boolean().optional() }),
  ),
});
const podSpec = z.strictObject({
  nodeSelector: labels,
  terminationGracePeriodSeconds: z.int(),
  automountServiceAccountToken: z.boolean(),
  enableServiceLinks: z.boolean(),
  securityContext: z.strictObject({
    runAsNonRoot: z.boolean(),
    runAsUser: z.int(),
    runAsGroup: z.int(),
    fsGroup: z.int(),
    fsGroupChangePolicy: z.enum(['OnRootMismatch', 'Always']),
    seccompProfile: z.strictObject({ type: z.enum(['RuntimeDefault', 'Localhost', 'Unconfined']) }),
  }),
  containers: z.tuple([container]),
  volumes: z.tuple([
    z.strictObject({ name: dnsLabel, persistentVolumeClaim: z.strictObject({ claimName: dnsLabel }) }),
    z.strictObject({ name: dnsLabel, configMap: z.strictObject({ name: dnsLabel }) }),
  ]),
});
const file = z.tuple([
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('Namespace'),
    metadata: z.strictObject({ name: dnsLabel, labels }),
  }),
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('ConfigMap'),
    metadata: named,
    data: z.strictObject({ 'mirror.yml': z.string() }),
  }),
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('PersistentVolumeClaim'),
    metadata: named,
    spec: z.strictObject({
      accessModes: z.array(z.enum(['ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany', 'ReadOnlyMany'])),
      resources: z.strictObject({ requests: z.strictObject({ storage: z.string() }) }),
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('Service'),
    metadata: named.extend({ labels }),
    spec: z.strictObject({
      type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer']),
      selector: labels,
      ports: z.tuple([
        z.strictObject({ name: dnsLabel, port, targetPort: dnsLabel, protocol: z.literal('TCP') }),
      ]),
    }),
  }),
  z.strictObject({
    apiVersion: z.literal('apps/v1'),
    kind: z.literal('Deployment'),
    metadata: named,
    spec: z.strictObject({
      replicas: z.int(),
      strategy: z.strictObject({ type: z.enum(['Recreate', 'RollingUpdate']) }),
      selector: z.strictObject({ matchLabels: labels }),
      template: z.strictObject({ metadata: z.strictObject({ labels, annotations: labels }), spec: podSpec }),
    }),
  }),
]);

function readDocuments() {
  const text = readFileSync(join(root, 'deploy/kubernetes.yaml'), 'utf8');
  const documents = parseAllDocuments(text, { uniqueKeys: true, version: '1.1' }); // 1.1 is what kubectl reads
  return Array.isArray(documents) ? documents : [];
}

/** Errors: of a file that has another shape; each test fails by itself then. */
function readManifests() {
  const [namespace, configMap, claim, service, deployment] = file.parse(
    readDocuments().map(document => document.toJS()),
  );
  const { template, ...spec } = deployment.spec;
  const { containers, ...pod } = template.spec;
  return { namespace, configMap, claim, service, deployment, template, spec, pod, cistern: containers[0] };
}

describe('deploy/kubernetes.yaml', () => {
  test('has the shape that the API demands', () => {
    const documents = readDocuments();
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect(file.safeParse(documents.map(document => document.toJS())).error).toBeUndefined();
  });

  test('refers only to what it defines', () => {
    const { namespace, configMap, claim, service, deployment, template, spec, pod, cistern } =
      readManifests();
    for (const { metadata } of [configMap, claim, service, deployment])
      expect(metadata.namespace).toBe(namespace.metadata.name);
    expect(template.metadata.labels).toMatchObject(spec.selector.matchLabels);
    const [data, configuration] = pod.volumes;
    expect(data.persistentVolumeClaim.claimName).toBe(claim.metadata.name);
    expect(configuration.configMap.name).toBe(configMap.metadata.name);
    expect(cistern.volumeMounts.map(({ name }) => name)).toEqual(pod.volumes.map(({ name }) => name));
    for (const probe of [cistern.startupProbe, cistern.livenessProbe, cistern.readinessProbe])
      expect(cistern.ports.map(({ name }) => name)).toContain(probe.httpGet.port);
  });

  test('its Service reaches the pod, and Prometheus finds the metrics there once', () => {
    const { service, template, cistern } = readManifests();
    expect(template.metadata.labels).toMatchObject(service.spec.selector);
    expect(cistern.ports.map(({ name }) => name)).toContain(service.spec.ports[0].targetPort);
    expect(service.metadata).not.toHaveProperty('annotations');
    expect(template.metadata.annotations).toEqual({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': String(cistern.ports[0]?.containerPort),
      'prometheus.io/path': '/metrics',
    });
  });

  test('asks the right question with each probe', () => {
    const { cistern } = readManifests();
    expect(cistern.livenessProbe.httpGet.path).toBe('/healthz');
    expect(cistern.readinessProbe.httpGet.path).toBe('/readyz');
  });

  test('never has its own image pulled, and names the version of this checkout', () => {
    const { cistern } = readManifests();
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(cistern.image).toBe(`localhost/cistern:${version}`);
    expect(cistern.imagePullPolicy).toBe('Never');
  });

  test('never runs two processes on one store', () => {
    const { replicas, strategy } = readManifests().spec;
    expect({ replicas, type: strategy.type }).toEqual({ replicas: 1, type: 'Recreate' });
  });

  test('runs as the user of the Dockerfile, with nothing that it does not need', () => {
    const { pod, cistern } = readManifests();
    const [, user, group] = /^USER (\d+):(\d+)$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8')) ?? [];
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: Number(user),
      runAsGroup: Number(group),
      fsGroup: Number(group),
    });
    expect(cistern.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });
});
