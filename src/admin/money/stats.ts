/** `/admin/stats`: how requests fared, in buckets of minutes, hours or days. */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { settingsOf } from "../../config.ts";
import { withControl } from "../../control/client.ts";
import { RouterError } from "../../http/errors.ts";
import { readTime } from "../../http/pagination.ts";
import { badParameter, matching, matchingKey, oneOf, readQuery } from "../../http/query.ts";
import { readTraceFilters, type TraceFilterQuery } from "../../http/trace-filters.ts";
import { toUsd } from "../../lib/money.ts";
import { ENV_NAME, RESOURCE_NAME } from "../../lib/text/name-patterns.ts";
import { type EnvUsage, findUsage, firstKeptDay } from "../../spend-archive/spend.ts";
import { DAY_MS, dayStart, MAX_WINDOW_DAYS } from "../../trace-index/calendar.ts";
import { asOf } from "../../trace-index/calls.ts";
import { type BucketCount, quantileMs } from "../../trace-index/histogram.ts";
import type { Dimension, UsageFilter } from "../../trace-index/usage-query.ts";
import type { BodyFilter } from "../../traces/filter.ts";
import { APIS, TRACE_STATUSES } from "../../traces/schema.ts";
import type { AdminEnv } from "../access/authorize.ts";
import { PROVIDER_ID, readRoute } from "../traces.ts";
import { keyNames, mergeEnvs, readGroups, shownGroup, usagePlaces } from "./spend.ts";

const MAX_GROUPS = 1_000;
const BUCKETS = { minute: 60_000, hour: 3_600_000, day: DAY_MS } as const;
type Bucket = keyof typeof BUCKETS;
/** What is asked for without `since`. */
const DEFAULT_SPAN_MS: Readonly<Record<Bucket, number>> = { minute: 3_600_000, hour: DAY_MS, day: 30 * DAY_MS };
const PARAMETERS = [
  ...([
    "since",
    "until",
    "bucket",
    "group_by",
    "env",
    "app",
    "route",
    "provider",
    "model",
    "api",
    "status",
    "key",
    "tag",
  ] as const),
  // What sums do not say is counted from the traces themselves.
  ...(["error_code", "fallback", "session", "client_request_id", "min_cost_usd", "min_total_ms"] as const),
];

export const statsApp = new Hono<AdminEnv>();

statsApp.get("/", async (c) => {
  const query = readQuery(c, PARAMETERS);
  const bucket = oneOf("bucket", query.bucket, ["minute", "hour", "day"]) ?? "hour";
  const groupBy = query.group_by === undefined ? [] : readStatGroups(query.group_by);
  const env = matching("env", query.env, ENV_NAME, "must be the name of an environment");
  const places = await usagePlaces(c, env);
  const width = BUCKETS[bucket];
  const wanted = readTime("since", query.since) ?? places.now - DEFAULT_SPAN_MS[bucket];
  const since = wanted - (wanted % width);
  const end = readTime("until", query.until) ?? places.now;
  const ofTraces = bodyFilter(query);
  const firstTrace = Math.ceil((places.now - settingsOf(c.env).traceDays * DAY_MS) / width) * width;
  refuseUnkept(bucket, since, Math.max(firstKept(bucket, places), ofTraces === undefined ? 0 : firstTrace));
  const found = await findUsage(places, {
    ...{ groupBy, since, until: Math.ceil(end / width) * width, bucketMs: width, withRefused: true, withLatency: true },
    app: matching("app", query.app, RESOURCE_NAME, "must be the name of an app"),
    route: readRoute(query.route),
    provider: matching("provider", query.provider, PROVIDER_ID, "must be the id of a provider"),
    model: matching("model", query.model, /^[\x21-\x7e]{1,256}$/, "must be the id of a model"),
    api: oneOf("api", query.api, APIS),
    status: oneOf("status", query.status, TRACE_STATUSES),
    key: matchingKey(query.key),
    tag: await readTag(c, query.tag),
    matching: ofTraces,
  });
  const groups = mergeEnvs(found, groupBy);
  const { shown, hasMore } = largest(groups);
  const names = await keyNames(c, groupBy, shown);
  return c.json({
    object: "stats",
    bucket,
    group_by: groupBy,
    data: shown.map((group) => toFigures(group, groupBy, names)),
    has_more: hasMore,
    as_of: asOf(places.now),
  });
});

/** The filters of the trace lists that sums do not know; `undefined`: none is used. */
function bodyFilter({ tag: _, api: __, model: ___, ...query }: TraceFilterQuery): BodyFilter | undefined {
  const filter = readTraceFilters(query);
  return Object.values(filter).some((value) => value !== undefined) ? filter : undefined;
}

/** `name:value` of a tag that is summed: of no other is anything counted. */
async function readTag(c: Context<AdminEnv>, text: string | undefined): Promise<UsageFilter["tag"]> {
  if (text === undefined) return undefined;
  const colon = text.indexOf(":");
  const [name, value] = [text.slice(0, Math.max(0, colon)), text.slice(colon + 1)];
  if (name === "" || value === "") throw badParameter("tag", "must be `<name>:<value>`");
  const { spend_tags: names } = await withControl(c.env.CONTROL_PLANE, (control) => control.settings());
  if (names.includes(name)) return { name, value };
  throw badParameter("tag", "must name a tag that is summed: add it to `spend_tags` with PUT /admin/settings first");
}

function readStatGroups(text: string): Dimension[] {
  const groups = readGroups(text);
  if (groups.some((name) => name.startsWith("tag."))) {
    throw badParameter("group_by", "takes tags at GET /admin/spend only");
  }
  return groups;
}

function firstKept(bucket: Bucket, places: { readonly now: number; readonly keptSince: number }): number {
  if (bucket === "day") return firstKeptDay(places);
  return bucket === "hour"
    ? dayStart(places.now) - (MAX_WINDOW_DAYS - 1) * DAY_MS
    : places.now - DAY_MS - BUCKETS.minute;
}

function refuseUnkept(bucket: Bucket, since: number, first: number): void {
  if (since >= first) return;
  const at = new Date(Math.ceil(first / BUCKETS.minute) * BUCKETS.minute).toISOString();
  const message = `Figures by the ${bucket} are kept since ${at}. Begin there, or ask for a wider \`bucket\`.`;
  throw new RouterError("range_not_kept", message, { param: "since", details: { first_day: at.slice(0, 10) } });
}

/** The groups with the most requests, in the order of time. */
function largest(groups: readonly EnvUsage[]): { readonly shown: readonly EnvUsage[]; readonly hasMore: boolean } {
  const requests = new Map<string, number>();
  for (const { group, counts, refused } of groups) {
    const name = group.join("\n");
    requests.set(name, (requests.get(name) ?? 0) + counts.requests + refused);
  }
  const names = [...requests].toSorted(([a, one], [b, other]) => other - one || (a < b ? -1 : 1)).map(([name]) => name);
  const kept = new Set(names.slice(0, MAX_GROUPS));
  const rank = new Map(names.map((name, at) => [name, at]));
  const rankOf = ({ group }: EnvUsage): number => rank.get(group.join("\n")) ?? 0;
  const shown = groups
    .filter(({ group }) => kept.has(group.join("\n")))
    .toSorted((a, b) => a.at - b.at || rankOf(a) - rankOf(b));
  return { shown, hasMore: names.length > MAX_GROUPS };
}

function toFigures(usage: EnvUsage, groupBy: readonly Dimension[], names: ReadonlyMap<string, string>) {
  const { counts, errors, refused, firstToken, total } = usage;
  const isUnpriced = counts.nano_usd === 0 && counts.unpriced > 0 && counts.unpriced >= counts.requests;
  return {
    start: new Date(usage.at).toISOString(),
    ...shownGroup(usage.group, groupBy, names),
    requests: counts.requests,
    errors,
    refused,
    fallbacks: counts.fallbacks,
    hedges: counts.hedges,
    prompt_tokens: counts.prompt_tokens,
    cached_tokens: counts.cached_tokens,
    completion_tokens: counts.completion_tokens,
    output_tokens_per_second:
      counts.paced_ms === 0 ? null : Math.round((counts.paced_tokens * 1e5) / counts.paced_ms) / 100,
    cost_usd: isUnpriced ? null : toUsd(counts.nano_usd),
    first_token_ms: quantiles(firstToken),
    total_ms: quantiles(total),
  };
}

/** `null`: no request of the bucket had any, as whole answers have no first token. */
function quantiles(histogram: readonly BucketCount[]): { readonly p50: number | null; readonly p95: number | null } {
  return { p50: quantileMs(histogram, 0.5), p95: quantileMs(histogram, 0.95) };
}
