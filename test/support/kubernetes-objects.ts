/**
 * The shape of what the chart makes, as far as it uses the Kubernetes API and the Prometheus operator's: an unknown,
 * misspelt or misplaced field fails.
 */
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

const dnsLabel = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
const labelValue = z.string().regex(/^([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?$/);
const labels = z.record(z.string(), labelValue);
const annotations = z.record(z.string(), z.string());
const port = z.int().min(1).max(65535);
const metadata = z.strictObject({
  name: dnsLabel,
  namespace: dnsLabel,
  labels,
  annotations: annotations.optional(),
});
const httpProbe = z.strictObject({
  httpGet: z.strictObject({ path: z.string(), port: dnsLabel, scheme: z.enum(['HTTP', 'HTTPS']) }),
  periodSeconds: z.int().positive(),
  timeoutSeconds: z.int().positive().optional(),
  failureThreshold: z.int().positive().optional(),
});
const quantities = z.strictObject({ cpu: z.string().optional(), memory: z.string().optional() });
const container = z.strictObject({
  name: dnsLabel,
  image: z.string().regex(/^\S+:[\w.-]+$/),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
  env: z.array(z.strictObject({ name: z.string(), value: z.string() })),
  ports: z.tuple([
    z.strictObject({ name: dnsLabel.max(15), containerPort: port, hostPort: port.optional() }),
  ]),
  startupProbe: httpProbe,
  livenessProbe: httpProbe,
  readinessProbe: httpProbe,
  resources: z.strictObject({ requests: quantities.optional(), limits: quantities.optional() }),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
    capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
  }),
  volumeMounts: z.array(
    z.strictObject({
      name: dnsLabel,
      mountPath: z.string().startsWith('/'),
      readOnly: z.boolean().optional(),
    }),
  ),
});
const secretVolume = z.strictObject({ secretName: dnsLabel, defaultMode: z.int().max(0o777) });
const volume = z.union([
  z.strictObject({ name: dnsLabel, persistentVolumeClaim: z.strictObject({ claimName: dnsLabel }) }),
  z.strictObject({ name: dnsLabel, emptyDir: z.strictObject({ sizeLimit: z.string() }) }),
  z.strictObject({ name: dnsLabel, configMap: z.strictObject({ name: dnsLabel }) }),
  z.strictObject({ name: dnsLabel, secret: secretVolume }),
]);
const podSpec = z.strictObject({
  imagePullSecrets: z.array(z.strictObject({ name: dnsLabel })).optional(),
  nodeSelector: labels.optional(),
  tolerations: z.array(z.looseObject({})).optional(),
  affinity: z.looseObject({}).optional(),
  terminationGracePeriodSeconds: z.int(),
  automountServiceAccountToken: z.literal(false),
  enableServiceLinks: z.literal(false),
  securityContext: z.strictObject({
    runAsNonRoot: z.literal(true),
    runAsUser: z.int().positive(),
    runAsGroup: z.int().positive(),
    fsGroup: z.int().positive(),
    fsGroupChangePolicy: z.enum(['OnRootMismatch', 'Always']),
    seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
  }),
  containers: z.tuple([container]),
  volumes: z.array(volume),
});
const deployment = z.strictObject({
  apiVersion: z.literal('apps/v1'),
  kind: z.literal('Deployment'),
  metadata,
  spec: z.strictObject({
    // Two processes never share a store.
    replicas: z.literal(1),
    strategy: z.strictObject({ type: z.literal('Recreate') }),
    selector: z.strictObject({ matchLabels: labels }),
    template: z.strictObject({ metadata: z.strictObject({ labels, annotations }), spec: podSpec }),
  }),
});
const configMap = z.strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('ConfigMap'),
  metadata,
  data: z.record(z.string(), z.string()),
});
const claim = z.strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('PersistentVolumeClaim'),
  metadata,
  spec: z.strictObject({
    accessModes: z.array(z.enum(['ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany'])).min(1),
    storageClassName: z.string().optional(),
    resources: z.strictObject({ requests: z.strictObject({ storage: z.string() }) }),
  }),
});
const service = z.strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('Service'),
  metadata,
  spec: z.strictObject({
    type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer']),
    selector: labels,
    ports: z.tuple([
      z.strictObject({
        name: dnsLabel,
        port,
        targetPort: dnsLabel,
        protocol: z.literal('TCP'),
        nodePort: port.optional(),
      }),
    ]),
  }),
});
const backend = z.strictObject({
  service: z.strictObject({ name: dnsLabel, port: z.strictObject({ name: dnsLabel }) }),
});
const ingressPath = z.strictObject({ path: z.literal('/'), pathType: z.literal('Prefix'), backend });
const ingress = z.strictObject({
  apiVersion: z.literal('networking.k8s.io/v1'),
  kind: z.literal('Ingress'),
  metadata,
  spec: z.strictObject({
    ingressClassName: dnsLabel.optional(),
    tls: z.tuple([z.strictObject({ hosts: z.array(z.string()), secretName: dnsLabel })]).optional(),
    rules: z.tuple([
      z.strictObject({ host: z.string(), http: z.strictObject({ paths: z.tuple([ingressPath]) }) }),
    ]),
  }),
});
const serviceMonitor = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('ServiceMonitor'),
  metadata,
  spec: z.strictObject({
    jobLabel: z.string(),
    selector: z.strictObject({ matchLabels: labels }),
    endpoints: z.tuple([
      z.strictObject({
        port: dnsLabel,
        path: z.string().startsWith('/'),
        scheme: z.enum(['http', 'https']),
        interval: z.string(),
      }),
    ]),
  }),
});
const rule = z.strictObject({
  alert: z.string(),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
});
const prometheusRule = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('PrometheusRule'),
  metadata,
  spec: z.strictObject({ groups: z.array(z.strictObject({ name: z.string(), rules: z.array(rule) })) }),
});
const kubernetesObject = z.discriminatedUnion('kind', [
  deployment,
  configMap,
  claim,
  service,
  ingress,
  serviceMonitor,
  prometheusRule,
]);

export type KubernetesObject = z.output<typeof kubernetesObject>;
export type KubernetesKind = KubernetesObject['kind'];

/** Errors: text that is no YAML, and anything that the shapes above don't know. */
export function readKubernetesObjects(text: string): readonly KubernetesObject[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true, version: '1.1' }); // 1.1 is what kubectl reads
  return (Array.isArray(documents) ? documents : []).flatMap(document => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) throw problem;
    const tree: unknown = document.toJS();
    return tree === null ? [] : [kubernetesObject.parse(tree)];
  });
}

/** The one object of this kind. Errors: none, or several. */
export function onlyOf<K extends KubernetesKind>(
  kind: K,
  objects: readonly KubernetesObject[],
): Extract<KubernetesObject, { kind: K }> {
  const found = objects.filter((one): one is Extract<KubernetesObject, { kind: K }> => one.kind === kind);
  const [only] = found;
  if (only === undefined || found.length > 1) throw new Error(`expected one ${kind}, got ${found.length}`);
  return only;
}
