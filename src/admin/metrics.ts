/**
 * `/admin/metrics`: counters of the UTC day in Prometheus' text format
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). They begin at 0 at midnight.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { withControl } from "../control/client.ts";
import { refuseQuery } from "../http/query.ts";
import { toUsd } from "../lib/money.ts";
import { withTimeout } from "../lib/time/with-timeout.ts";
import { trailName } from "../trace-index/calendar.ts";
import { askTrail, inTurn } from "../trace-index/calls.ts";
import { type BucketCount, durationOf } from "../trace-index/histogram.ts";
import type { AttemptCount, MetricsRow } from "../trace-index/store/store-metrics.ts";
import type { AdminEnv } from "./access/authorize.ts";

const MAX_SERIES = 10_000;
const OTHER = "(other)";
/** Upper bounds of histograms, seconds. */
const BOUNDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
/** Each budget is a call of its own; those that do not answer in time are left out. */
const BUDGETS_LIMIT_MS = 1_000;

type Labels = Readonly<Record<string, string>>;
type EnvRow = MetricsRow & { readonly env: string };

export const metricsApp = new Hono<AdminEnv>();

metricsApp.get("/", async (c) => {
  refuseQuery(c);
  const now = Date.now();
  const [envs, view] = await withControl(c.env.CONTROL_PLANE, (control) =>
    Promise.all([control.listEnvironments(), control.metricsView()]),
  );
  const [days, budgets] = await Promise.all([
    inTurn(envs, (env) => askTrail(c.env.TRAIL_INDEX, trailName(env, now), (trail) => trail.metrics())),
    budgetRatios(c),
  ]);
  const rows = days.flatMap((day, at) => day.rows.map((row): EnvRow => ({ ...row, env: envs[at] ?? "" })));
  const text = metricsText({ rows, attempts: days.flatMap((day) => day.attempts), ...view, budgets });
  return c.body(text, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
});

async function budgetRatios(c: Context<AdminEnv>): Promise<readonly (readonly [id: string, ratio: number])[]> {
  const records = await withControl(c.env.CONTROL_PLANE, (control) => control.listBudgets());
  const look = async ({ id, limit_usd }: (typeof records)[number]) => {
    const status = await withTimeout(BUDGETS_LIMIT_MS, () => c.env.BUDGET_POOL.getByName(id).status()).catch(
      () => null,
    );
    return status === null ? [] : [[id, toUsd(status.spentNanoUsd) / limit_usd] as const];
  };
  return (await inTurn(records, look)).flat();
}

interface Figures {
  readonly rows: readonly EnvRow[];
  readonly attempts: readonly AttemptCount[];
  /** `<provider>/<model>`, open or not. */
  readonly breakers: readonly { readonly provider: string; readonly model: string; readonly isOpen: boolean }[];
  readonly pending: Readonly<Record<string, number>>;
  readonly budgets: readonly (readonly [id: string, ratio: number])[];
}

/** The whole answer. Routes beyond the limit of series are summed as `(other)`, those with the fewest requests first. */
export function metricsText({ rows, attempts, breakers, pending, budgets }: Figures): string {
  const series = withinLimit(rows);
  const lines: string[] = [];
  const metric = (name: string, kind: "counter" | "gauge", help: string, values: readonly Value[]): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`);
    for (const [labels, value] of values) lines.push(`${name}${labelText(labels)} ${value}`);
  };
  metric(
    ...(["flowlayer_requests_total", "counter", "Requests, by how they ended."] as const),
    sums(
      series,
      ({ env, route, api, status }) => ({ env, route, api, status }),
      ({ requests }) => requests,
    ),
  );
  const counted = sums(
    attempts,
    ({ provider, model, outcome }) => ({ provider, model, outcome }),
    ({ count }) => count,
  );
  metric("flowlayer_attempts_total", "counter", "Calls of providers, by how they ended.", counted);
  const target = ({ env, route, provider, model }: EnvRow): Labels => ({ env, route, provider, model });
  const kinds = [
    ["prompt", (row: EnvRow) => row.promptTokens],
    ["cached", (row: EnvRow) => row.cachedTokens],
    ["completion", (row: EnvRow) => row.completionTokens],
    ["reasoning", (row: EnvRow) => row.reasoningTokens],
  ] as const;
  const tokens = kinds.flatMap(([kind, of]) => sums(series, (row) => ({ ...target(row), kind }), of));
  metric("flowlayer_tokens_total", "counter", "Tokens. Cached ones are part of the prompt.", tokens.filter(isPositive));
  const usd = (row: EnvRow): number => row.nanoUsd;
  metric(
    ...(["flowlayer_cost_usd_total", "counter", "Cost in USD."] as const),
    sums(series, target, usd).map(([labels, nanoUsd]): Value => [labels, toUsd(nanoUsd)]),
  );
  const unadmitted = series.reduce((sum, row) => sum + row.unadmittedNanoUsd, 0);
  metric("flowlayer_unadmitted_usd_total", "counter", "Cost of calls that were refused after they were sent.", [
    [{}, toUsd(unadmitted)],
  ]);
  lines.push(
    ...histogram("flowlayer_request_seconds", "From arrival to the whole answer.", series, (row) => row.total),
  );
  lines.push(
    ...histogram("flowlayer_first_token_seconds", "From arrival to the first token.", series, (row) => row.firstToken),
  );
  metric(
    ...(["flowlayer_breaker_open", "gauge", "1 while the shared breaker of a target is open."] as const),
    breakers.map(({ provider, model, isOpen }): Value => [{ provider, model }, isOpen ? 1 : 0]),
  );
  const waiting = Object.entries(pending).map(([env, count]): Value => [{ env }, count]);
  metric("flowlayer_approvals_pending", "gauge", "Tool calls that wait for a decision.", waiting);
  const ratios = budgets.map(([id, ratio]): Value => [{ id }, ratio]);
  metric("flowlayer_budget_used_ratio", "gauge", "Spent part of a budget above keys.", ratios);
  return `${lines.join("\n")}\n`;
}

type Value = readonly [labels: Labels, value: number];

const isPositive = ([, value]: Value): boolean => value > 0;

/** One value per set of labels. Rows without a target have none in metrics by target. */
function sums<Row>(
  rows: readonly Row[],
  labelsOf: (row: Row) => Labels,
  amountOf: (row: Row) => number,
): readonly Value[] {
  const found = new Map<string, [Labels, number]>();
  for (const row of rows) {
    const labels = labelsOf(row);
    if (labels["provider"] === "") continue;
    const name = JSON.stringify(labels);
    const known = found.get(name);
    if (known === undefined) found.set(name, [labels, amountOf(row)]);
    else known[1] += amountOf(row);
  }
  return [...found.values()];
}

function histogram(
  name: string,
  help: string,
  rows: readonly EnvRow[],
  of: (row: EnvRow) => readonly BucketCount[],
): readonly string[] {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  const found = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number; count: number }>();
  for (const row of rows) {
    if (row.provider === "" || of(row).length === 0) continue;
    const { env, route, provider, model } = row;
    const labels = { env, route, provider, model };
    const key = JSON.stringify(labels);
    const known = found.get(key) ?? { labels, counts: BOUNDS.map(() => 0), sum: 0, count: 0 };
    found.set(key, known);
    for (const [bucket, count] of of(row)) {
      const seconds = durationOf(bucket) / 1000;
      BOUNDS.forEach((bound, at) => {
        if (seconds <= bound) known.counts[at] = (known.counts[at] ?? 0) + count;
      });
      known.sum += seconds * count;
      known.count += count;
    }
  }
  for (const { labels, counts, sum, count } of found.values()) {
    BOUNDS.forEach((bound, at) => {
      lines.push(`${name}_bucket${labelText({ ...labels, le: String(bound) })} ${counts[at]}`);
    });
    lines.push(`${name}_bucket${labelText({ ...labels, le: "+Inf" })} ${count}`);
    lines.push(
      `${name}_sum${labelText(labels)} ${Number(sum.toFixed(3))}`,
      `${name}_count${labelText(labels)} ${count}`,
    );
  }
  return lines;
}

/** Both histograms, four kinds of tokens, requests and cost. */
const SERIES_PER_ROW = 2 * (BOUNDS.length + 3) + 4 + 2;

/** The rows with the routes of the fewest requests summed as one, so that no more series come of them than allowed. */
function withinLimit(rows: readonly EnvRow[]): readonly EnvRow[] {
  if (rows.length * SERIES_PER_ROW <= MAX_SERIES) return rows;
  const requests = new Map<string, number>();
  for (const row of rows) requests.set(row.route, (requests.get(row.route) ?? 0) + row.requests);
  const routes = [...requests].sort(([, a], [, b]) => b - a).map(([route]) => route);
  let kept = new Set<string>();
  let left = MAX_SERIES / SERIES_PER_ROW - countOf(rows.map((row) => ({ ...row, route: OTHER })));
  for (const route of routes) {
    left -= countOf(rows.filter((row) => row.route === route));
    if (left < 0) break;
    kept = kept.add(route);
  }
  return rows.map((row) => (kept.has(row.route) ? row : { ...row, route: OTHER }));
}

function countOf(rows: readonly EnvRow[]): number {
  return new Set(
    rows.map(({ env, route, provider, model, api, status }) =>
      JSON.stringify([env, route, provider, model, api, status]),
    ),
  ).size;
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
