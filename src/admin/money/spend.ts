/** `/admin/spend`: what the deployment has spent, in groups, by the day or the month, as JSON or CSV. */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { withControl } from "../../control/client.ts";
import { readTime } from "../../http/pagination.ts";
import { badParameter, oneOf, readQuery } from "../../http/query.ts";
import { toUsd } from "../../lib/money.ts";
import { csvResponse, toCsv } from "../../lib/text/csv.ts";
import { type EnvUsage, findUsage, type UsagePlaces } from "../../spend-archive/spend.ts";
import { DAY_MS, monthStart } from "../../trace-index/calendar.ts";
import { asOf } from "../../trace-index/calls.ts";
import { DIMENSIONS } from "../../trace-index/types.ts";
import { type Dimension, plus } from "../../trace-index/usage-query.ts";
import type { AdminEnv } from "../access/authorize.ts";

const MAX_DIMENSIONS = 2;

export const spendApp = new Hono<AdminEnv>();

/** Without `since`: from the start of this month, UTC. Without `until`: all there is. */
spendApp.get("/", async (c) => {
  const query = readQuery(c, ["group_by", "since", "until", "bucket", "format"]);
  const groupBy = readGroups(query.group_by);
  const bucket = oneOf("bucket", query.bucket, ["day", "month"]);
  const format = oneOf("format", query.format, ["json", "csv"]) ?? "json";
  const places = await usagePlaces(c);
  const since = readTime("since", query.since) ?? monthStart(places.now);
  const until = readTime("until", query.until) ?? Number.MAX_SAFE_INTEGER;
  const found = await findUsage(places, {
    ...{ groupBy, since, until, withRefused: false, withLatency: false, byMonth: bucket === "month" },
    bucketMs: bucket === "day" ? DAY_MS : null,
  });
  const groups = mergeEnvs(found, groupBy);
  await refuseUnsummed(c, groupBy, groups);
  const names = await keyNames(c, groupBy, groups);
  const rows = groups
    .filter(({ counts }) => counts.requests !== 0 || counts.nano_usd !== 0)
    .map((group) => toRow(group, groupBy, names, bucket !== undefined))
    .toSorted(byTimeAndCost);
  if (format === "csv") return csvAnswer(rows, groupBy, bucket !== undefined);
  const total = (of: (usage: EnvUsage) => number): number => found.reduce((sum, usage) => sum + of(usage), 0);
  return c.json({
    object: "spend",
    group_by: groupBy,
    data: rows.map(({ nanoUsd: _, ...row }) => row),
    total_usd: toUsd(rows.reduce((sum, { nanoUsd }) => sum + nanoUsd, 0)),
    unpriced_requests: total(({ unpricedOnce }) => unpricedOnce),
    unadmitted_usd: toUsd(total(({ counts }) => counts.unadmitted_nano_usd)),
    since: new Date(since).toISOString(),
    as_of: asOf(places.now),
  });
});

/** One group of all would look like an answer. A tag that was summed once is still known by its values. */
async function refuseUnsummed(
  c: Context<AdminEnv>,
  groupBy: readonly Dimension[],
  groups: readonly EnvUsage[],
): Promise<void> {
  const isKnown = (at: number): boolean => groups.some(({ group }) => (group[at] ?? "") !== "");
  const unknown = groupBy.filter((name, at) => name.startsWith("tag.") && !isKnown(at)).map((name) => name.slice(4));
  if (unknown.length === 0) return;
  const { spend_tags: summed } = await withControl(c.env.CONTROL_PLANE, (control) => control.settings());
  const name = unknown.find((each) => !summed.includes(each));
  if (name === undefined) return;
  const must = `names the tag \`${name}\`, which is not summed: add it to \`spend_tags\` with PUT /admin/settings first`;
  throw badParameter("group_by", must);
}

/** One or two of `DIMENSIONS` and `tag.<name>`, separated by commas. */
export function readGroups(text: string | undefined): Dimension[] {
  const known = `${DIMENSIONS.join(", ")}, tag.<name>`;
  if (text === undefined) throw badParameter("group_by", `is required: one or two of ${known}`);
  const names = text.split(",").map((name) => name.trim());
  const isKnown = (name: string): name is Dimension =>
    DIMENSIONS.some((each) => each === name) || /^tag\.[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}$/.test(name);
  const groups = names.filter(isKnown);
  const isFine =
    groups.length === names.length && groups.length <= MAX_DIMENSIONS && new Set(groups).size === groups.length;
  if (!isFine) throw badParameter("group_by", `must be one or two of ${known}`);
  return groups;
}

/** Where usage is asked for, and since when there can be any. */
export async function usagePlaces(c: Context<AdminEnv>, env?: string): Promise<UsagePlaces> {
  const [envs, keptSince] = await withControl(c.env.CONTROL_PLANE, async (control) =>
    Promise.all([env === undefined ? control.listEnvironments() : [env], control.usageKeptSince()]),
  );
  const { TRAIL_INDEX: trails, SPEND_ARCHIVE: archives } = c.env;
  return { trails, archives, envs, now: Date.now(), keptSince };
}

/** Environments are one group unless they are asked for. `group`: all values of `groupBy`, in their order. */
export function mergeEnvs(found: readonly EnvUsage[], groupBy: readonly Dimension[]): EnvUsage[] {
  const at = groupBy.indexOf("env");
  const named = found.map((usage) =>
    at === -1 ? usage : { ...usage, group: usage.group.toSpliced(at, 0, usage.env) },
  );
  const merged = new Map<string, EnvUsage>();
  for (const usage of named) {
    const name = [usage.at, ...usage.group].join("\n");
    const known = merged.get(name);
    merged.set(name, known === undefined ? usage : { ...plus(known, usage), env: "" });
  }
  return [...merged.values()];
}

/** Last names of the keys in these groups, by id; of keys that were revoked too. */
export async function keyNames(
  c: Context<AdminEnv>,
  groupBy: readonly Dimension[],
  groups: readonly EnvUsage[],
): Promise<ReadonlyMap<string, string>> {
  const at = groupBy.indexOf("key");
  if (at === -1 || groups.length === 0) return new Map();
  const ids = [...new Set(groups.map(({ group }) => group[at] ?? ""))];
  return new Map(await withControl(c.env.CONTROL_PLANE, (control) => control.keyNames(ids)));
}

interface SpendRow {
  readonly start?: string;
  readonly group: Readonly<Record<string, string | null>>;
  readonly names: Readonly<Record<string, string>>;
  readonly requests: number;
  readonly unpriced_requests: number;
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly completion_tokens: number;
  readonly cost_usd: number | null;
  readonly adjustment_usd: number;
  readonly nanoUsd: number;
}

function toRow(
  { at, group, counts }: EnvUsage,
  groupBy: readonly Dimension[],
  names: ReadonlyMap<string, string>,
  hasStart: boolean,
): SpendRow {
  const { nano_usd: nanoUsd, adjustment_nano_usd: adjustmentNanoUsd, unpriced } = counts;
  return {
    ...(hasStart ? { start: new Date(at).toISOString() } : {}),
    ...shownGroup(group, groupBy, names),
    requests: counts.requests,
    unpriced_requests: unpriced,
    prompt_tokens: counts.prompt_tokens,
    cached_tokens: counts.cached_tokens,
    completion_tokens: counts.completion_tokens,
    // Nothing of it has a known price: that is not nothing.
    cost_usd: nanoUsd === 0 && unpriced > 0 && unpriced >= counts.requests ? null : toUsd(nanoUsd),
    adjustment_usd: toUsd(adjustmentNanoUsd),
    nanoUsd,
  };
}

/** The values of a group by the names of its dimensions, and names of keys. `null`: it has none. */
export function shownGroup(
  group: readonly string[],
  groupBy: readonly Dimension[],
  names: ReadonlyMap<string, string>,
): { readonly group: Readonly<Record<string, string | null>>; readonly names: Readonly<Record<string, string>> } {
  const values = groupBy.map((dimension, at) => [dimension, group[at] === "" ? null : (group[at] ?? null)] as const);
  const key = group[groupBy.indexOf("key")];
  const name = key === undefined ? undefined : names.get(key);
  return { group: Object.fromEntries(values), names: name === undefined ? {} : { key: name } };
}

function byTimeAndCost(a: SpendRow, b: SpendRow): number {
  if (a.start !== b.start) return (a.start ?? "") < (b.start ?? "") ? -1 : 1;
  return b.nanoUsd - a.nanoUsd || (JSON.stringify(a.group) < JSON.stringify(b.group) ? -1 : 1);
}

function csvAnswer(rows: readonly SpendRow[], groupBy: readonly Dimension[], hasStart: boolean): Response {
  const keyName = groupBy.includes("key") ? ["key_name"] : [];
  const columns = [
    ...(hasStart ? ["start"] : []),
    ...groupBy,
    ...keyName,
    ...[
      "requests",
      "unpriced_requests",
      "prompt_tokens",
      "cached_tokens",
      "completion_tokens",
      "cost_usd",
      "adjustment_usd",
    ],
  ];
  const lines = rows.map((row) => [
    ...(hasStart ? [row.start] : []),
    ...groupBy.map((dimension) => row.group[dimension]),
    ...keyName.map(() => row.names["key"]),
    ...[row.requests, row.unpriced_requests, row.prompt_tokens, row.cached_tokens, row.completion_tokens],
    ...[row.cost_usd, row.adjustment_usd],
  ]);
  return csvResponse(toCsv(columns, lines), "spend.csv");
}
