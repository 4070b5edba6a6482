/**
 * Every expression of the shipped dashboard and of the shipped alerts, with the dashboard's variables replaced by what
 * Grafana puts in for "All".
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

export const deployFolder = join(import.meta.dirname, '../../deploy');

const panel = z.object({
  title: z.string(),
  targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })).default([]),
});
const variable = z.object({ name: z.string(), query: z.unknown(), allValue: z.string().optional() });
const dashboard = z.object({
  panels: z.array(panel),
  templating: z.object({ list: z.array(variable) }),
});
const rules = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          annotations: z.object({ summary: z.string() }),
        }),
      ),
    }),
  ),
});

export interface Expression {
  /** Panel or alert. */
  readonly title: string;
  readonly text: string;
  /** Labels that a legend or an annotation shows. */
  readonly shown: readonly string[];
}

export function dashboardExpressions(): Expression[] {
  const { panels, templating } = dashboard.parse(
    JSON.parse(readFileSync(join(deployFolder, 'grafana/cistern.json'), 'utf8')),
  );
  const values = new Map([
    ['__rate_interval', '1m'],
    ['__range', '1h'],
    ...templating.list.map(({ name, allValue }): [string, string] => [name, allValue ?? '']),
  ]);
  return panels.flatMap(({ title, targets }) =>
    targets.map(({ expr, legendFormat }) => ({
      title,
      text: expr.replaceAll(/\$(\w+)/g, (whole, name: string) => values.get(name) ?? whole),
      shown: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label),
    })),
  );
}

export function alertExpressions(): Expression[] {
  const { groups } = rules.parse(parse(readFileSync(join(deployFolder, 'alerts.yml'), 'utf8')));
  return groups
    .flatMap(group => group.rules)
    .map(({ alert, expr, annotations }) => ({
      title: alert,
      text: expr,
      shown: [...annotations.summary.matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label),
    }));
}
