/**
 * Questions about usage, and their answers: the same of a day's object, of a month's archive and of rows in memory.
 *
 * Pure, but for running one statement. A dimension is a column, or `tag.<name>`, a member of the summed tags. Which
 * counts of a row apply depends on the dimensions in the question, grouped by or filtered: a request that called two
 * providers is one request of its key and one of each provider.
 */
import { tryParseJson } from "../lib/json.ts";
import { type BucketCount, mergeHistograms } from "./histogram.ts";
import type { DIMENSIONS } from "./types.ts";
import { COUNT_COLUMNS, type CountColumn, noCounts, type UsageCounts, type UsageRow } from "./usage.ts";

export type NamedDimension = (typeof DIMENSIONS)[number];
/** One of `DIMENSIONS`, or `tag.<name>`. */
export type Dimension = NamedDimension | `tag.${string}`;

export interface UsageFilter {
  readonly key?: string | undefined;
  readonly app?: string | undefined;
  readonly route?: string | undefined;
  readonly provider?: string | undefined;
  readonly model?: string | undefined;
  readonly api?: string | undefined;
  readonly status?: string | undefined;
  /** A tag whose spend is summed. */
  readonly tag?: { readonly name: string; readonly value: string } | undefined;
}

export interface UsageQuestion extends UsageFilter {
  /** At most two. `env` is the object's own. */
  readonly groupBy: readonly Dimension[];
  /** Width of the buckets that rows of the answer are of, ms; `null`: one bucket for all. */
  readonly bucketMs: number | null;
  /** Requests that were refused count as well. They cost nothing. */
  readonly withRefused: boolean;
  readonly withLatency: boolean;
}

/** One group of one bucket. */
export interface UsageSum {
  /** Beginning of the bucket, epoch ms; 0 without buckets. */
  readonly at: number;
  /** Values of `groupBy` but `env`, in their order. */
  readonly group: readonly string[];
  readonly counts: UsageCounts;
  /** Unpriced requests of the group that no other group has: their sum is that of all. */
  readonly unpricedOnce: number;
  readonly errors: number;
  readonly refused: number;
  readonly firstToken: readonly BucketCount[];
  readonly total: readonly BucketCount[];
}

const COLUMNS: Readonly<Record<Exclude<NamedDimension, "env">, string>> = {
  ...{ key: "key_id", app: "app", route: "route", provider: "provider", model: "model", api: "api" },
};

const FILTERS = ["key", "app", "route", "provider", "model", "api", "status"] as const;

/** Which counts of requests hold for the question: `requests`, or those per provider, model or target. */
function countsFor({
  groupBy,
  provider,
  model,
}: UsageQuestion): readonly [requests: CountColumn, unpriced: CountColumn] {
  const byProvider = groupBy.includes("provider") || provider !== undefined;
  const byModel = groupBy.includes("model") || model !== undefined;
  if (byProvider && byModel) return ["target_requests", "target_unpriced"];
  if (byProvider) return ["provider_requests", "provider_unpriced"];
  return byModel ? ["model_requests", "model_unpriced"] : ["requests", "unpriced"];
}

type SumRow = Record<string, SqlStorageValue>;

/** `grain`: the width of the rows that are read, seconds. `since` and `until`: epoch ms, on its buckets. */
export function sumUsage(
  sql: SqlStorage,
  question: UsageQuestion,
  { grain, since, until }: { readonly grain: number; readonly since: number; readonly until: number },
): UsageSum[] {
  const { text, bindings } = statementOf(question);
  const { tag } = question;
  const filters = [
    ...FILTERS.flatMap((name) => question[name] ?? []),
    ...(tag === undefined ? [] : [tagPath(tag.name), tag.value]),
  ];
  const rows = sql.exec<SumRow>(text, ...bindings, grain, since, until, ...filters);
  const groups = question.groupBy.filter((dimension) => dimension !== "env").length;
  return Array.from(rows, (row) => toSum(row, groups)).filter(hasContent);
}

/** Where a tag is in the JSON of the summed ones. */
const tagPath = (name: string): string => `$.${JSON.stringify(name)}`;

interface Statement {
  readonly text: string;
  /** Values of what is selected: the width of buckets, and paths of tags. */
  readonly bindings: readonly (string | number)[];
}

/** The statement of a question. Its text is made of names of ours alone: every value is bound. */
function statementOf(question: UsageQuestion): Statement {
  const { bucketMs, withLatency, withRefused } = question;
  const groups = question.groupBy.filter((dimension) => dimension !== "env");
  const parts = groups.map((dimension) =>
    dimension.startsWith("tag.")
      ? { text: "coalesce(json_extract(tags, ?), '')", bindings: [tagPath(dimension.slice(4))] }
      : { text: COLUMNS[dimension as keyof typeof COLUMNS], bindings: [] },
  );
  const [requests, unpriced] = countsFor(question);
  const byTarget = requests !== "requests";
  const selected = [
    `${bucketMs === null ? "0" : "at - at % ?"} AS bucket`,
    ...parts.map(({ text }, at) => `${text} AS g${at}`),
    ...COUNT_COLUMNS.map((name) => {
      const column = name === "requests" ? requests : name === "unpriced" ? unpriced : name;
      return `sum(${column} * (status <> 'refused')) AS ${name}`;
    }),
    "sum(unpriced * (status <> 'refused')) AS unpriced_once",
    byTarget
      ? "sum(failed_requests * (status <> 'refused')) AS errors"
      : "sum(requests * (status = 'error')) AS errors",
    `sum(${requests} * (status = 'refused')) AS refused`,
    ...(withLatency
      ? ["json_group_array(json_array(json(first_token), json(total))) FILTER (WHERE total <> '[]') AS latencies"]
      : []),
  ];
  const conditions = [
    "grain = ? AND at >= ? AND at < ?",
    ...(withRefused ? [] : ["status <> 'refused'"]),
    ...FILTERS.flatMap((name) => (question[name] === undefined ? [] : [`${name === "key" ? "key_id" : name} = ?`])),
    ...(question.tag === undefined ? [] : ["json_extract(tags, ?) = ?"]),
  ];
  const grouped = ["bucket", ...parts.map((_, at) => `g${at}`)];
  return {
    text: `SELECT ${selected.join(", ")} FROM usage WHERE ${conditions.join(" AND ")} GROUP BY ${grouped.join(", ")}`,
    bindings: [...(bucketMs === null ? [] : [bucketMs]), ...parts.flatMap(({ bindings }) => bindings)],
  };
}

function toSum(row: SumRow, groups: number): UsageSum {
  const latencies = typeof row["latencies"] === "string" ? tryParseJson(row["latencies"]) : [];
  // Written by the table of usage from histograms.
  const pairs = (Array.isArray(latencies) ? latencies : []) as readonly (readonly [BucketCount[], BucketCount[]])[];
  return {
    at: Number(row["bucket"]),
    group: Array.from({ length: groups }, (_, at) => String(row[`g${at}`] ?? "")),
    counts: Object.fromEntries(COUNT_COLUMNS.map((name) => [name, Number(row[name])])) as UsageCounts,
    unpricedOnce: Number(row["unpriced_once"]),
    errors: Number(row["errors"]),
    refused: Number(row["refused"]),
    firstToken: mergeHistograms(pairs.map(([firstToken]) => firstToken)),
    total: mergeHistograms(pairs.map(([, total]) => total)),
  };
}

/** A group that is left empty by corrections is none. */
function hasContent({ counts, refused }: UsageSum): boolean {
  return refused > 0 || counts.requests !== 0 || counts.nano_usd !== 0 || counts.unadmitted_nano_usd !== 0;
}

/** The same of rows that are in memory. */
export function sumRows(rows: Iterable<UsageRow>, question: UsageQuestion): UsageSum[] {
  const groups = question.groupBy.filter((dimension) => dimension !== "env");
  const [requests, unpriced] = countsFor(question);
  const byTarget = requests !== "requests";
  const sums: UsageSum[] = [];
  for (const { at, place, counts, firstToken, total } of rows) {
    const isRefused = place.status === "refused";
    if (isRefused && !question.withRefused) continue;
    if (
      FILTERS.some((name) => question[name] !== undefined && question[name] !== place[name === "key" ? "key_id" : name])
    )
      continue;
    const tags = tryParseJson(place.tags) as Readonly<Record<string, string>>;
    if (question.tag !== undefined && tags[question.tag.name] !== question.tag.value) continue;
    const errors = byTarget ? counts.failed_requests : place.status === "error" ? counts.requests : 0;
    sums.push({
      at: question.bucketMs === null ? 0 : at - (at % question.bucketMs),
      group: groups.map((dimension) =>
        dimension.startsWith("tag.")
          ? (tags[dimension.slice(4)] ?? "")
          : place[COLUMNS[dimension as keyof typeof COLUMNS] as keyof typeof place],
      ),
      counts: isRefused ? noCounts() : { ...counts, requests: counts[requests], unpriced: counts[unpriced] },
      unpricedOnce: isRefused ? 0 : counts.unpriced,
      errors: isRefused ? 0 : errors,
      refused: isRefused ? counts[requests] : 0,
      firstToken: question.withLatency ? firstToken : [],
      total: question.withLatency ? total : [],
    });
  }
  return mergeSums([sums]);
}

/** The sum of answers of several objects. */
export function mergeSums(answers: Iterable<readonly UsageSum[]>): UsageSum[] {
  const merged = new Map<string, UsageSum>();
  for (const answer of answers) {
    for (const sum of answer) {
      const name = [sum.at, ...sum.group].join("\n");
      const known = merged.get(name);
      merged.set(name, known === undefined ? sum : plus(known, sum));
    }
  }
  return [...merged.values()].filter(hasContent);
}

export function plus(a: UsageSum, b: UsageSum): UsageSum {
  const counts = noCounts();
  for (const name of COUNT_COLUMNS) counts[name] = a.counts[name] + b.counts[name];
  return {
    ...{ at: a.at, group: a.group, counts, errors: a.errors + b.errors, refused: a.refused + b.refused },
    unpricedOnce: a.unpricedOnce + b.unpricedOnce,
    firstToken: mergeHistograms([a.firstToken, b.firstToken]),
    total: mergeHistograms([a.total, b.total]),
  };
}
