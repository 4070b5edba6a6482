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
const text = readFileSync(join(root, 'deploy/kubernetes.yaml'), 'utf8');

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
  resources: z.strictObject({ requests: z.strictObject({ cpu: z.string(), memory: z.string() }) }),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.boolean(),
    readOnlyRootFilesystem: z.boolean(),
    capabilities: z.strictObject({ drop: z.array(z.string()) }),
  }),
  volumeMounts: z.array(
    z.strictObject({ name: dnsLabel, mountPath: z.string(), readOnly: z.boolean().optional() }),
  ),
});
const pod = z.strictObject({
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
    apiVersion: z.literal('apps/v1'),
    kind: z.literal('Deployment'),
    metadata: named,
    spec: z.strictObject({
      replicas: z.int(),
      strategy: z.strictObject({ type: z.enum(['Recreate', 'RollingUpdate']) }),
      selector: z.strictObject({ matchLabels: labels }),
      template: z.strictObject({ metadata: z.strictObject({ labels }), spec: pod }),
    }),
  }),
]);

describe('deploy/kubernetes.yaml', () => {
  const documents = parseAllDocuments(text, { uniqueKeys: true, version: '1.1' }); // 1.1 is what kubectl reads
  if (!Array.isArray(documents)) throw new Error('expected documents');
  const parsed = file.safeParse(documents.map(document => document.toJS()));

  test('has the shape that the API demands', () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect(parsed.error).toBeUndefined();
  });

  const [namespace, configMap, claim, deployment] = file.parse(documents.map(document => document.toJS()));
  const { template, selector, replicas, strategy } = deployment.spec;
  const { containers, volumes, securityContext } = template.spec;
  const [cistern] = containers;

  test('refers only to what it defines', () => {
    for (const { metadata } of [configMap, claim, deployment])
      expect(metadata.namespace).toBe(namespace.metadata.name);
    expect(template.metadata.labels).toMatchObject(selector.matchLabels);
    const [data, configuration] = volumes;
    expect(data.persistentVolumeClaim.claimName).toBe(claim.metadata.name);
    expect(configuration.configMap.name).toBe(configMap.metadata.name);
    expect(cistern.volumeMounts.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name));
    for (const probe of [cistern.startupProbe, cistern.livenessProbe, cistern.readinessProbe])
      expect(cistern.ports.map(({ name }) => name)).toContain(probe.httpGet.port);
  });

  test('asks the right question with each probe', () => {
    expect(cistern.livenessProbe.httpGet.path).toBe('/healthz');
    expect(cistern.readinessProbe.httpGet.path).toBe('/readyz');
  });

  test('never has its own image pulled, and names the version of this checkout', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(cistern.image).toBe(`localhost/cistern:${version}`);
    expect(cistern.imagePullPolicy).toBe('Never');
  });

  test('never runs two processes on one store', () => {
    expect({ replicas, type: strategy.type }).toEqual({ replicas: 1, type: 'Recreate' });
  });

  test('runs as the user of the Dockerfile, with nothing that it does not need', () => {
    const [, user, group] = /^USER (\d+):(\d+)$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8')) ?? [];
    expect(securityContext).toMatchObject({
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
