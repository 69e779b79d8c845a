/** What is going on: figures of a period next to those of the period before, and what needs a person. */
import { call, EMPTY_LIST, type List, withQuery } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { type Loaded, useLoad } from "../load.ts";
import { Chart, type Mark } from "../parts/chart.tsx";
import { Choice } from "../parts/field.tsx";
import { change, count, duration, share, UNKNOWN, usd } from "../parts/figures.ts";
import { Empty, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { PERIOD_NAMES, type Period, periodMs, periodOf, setValues } from "../place.ts";
import type { Approval, StatsRow } from "../types.ts";

const EVERY_MS = 15_000;
const BUCKETS: Readonly<Record<Period, "minute" | "hour" | "day">> = {
  hour: "minute",
  day: "hour",
  week: "hour",
  month: "day",
};
const GROUPS = ["env", "app", "route", "key", "provider", "model", "api"] as const;

interface Stats {
  readonly data: readonly StatsRow[];
  readonly as_of: string;
}

const WIDTHS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

const NOTHING = {
  ...{ group: {}, requests: 0, errors: 0, refused: 0, fallbacks: 0, hedges: 0, cost_usd: 0 },
  ...{ prompt_tokens: 0, cached_tokens: 0, completion_tokens: 0, output_tokens_per_second: null },
  ...{ first_token_ms: { p50: null, p95: null }, total_ms: { p50: null, p95: null } },
} satisfies Omit<StatsRow, "start">;

/** Every bucket of the period: one without requests is a zero in a chart, not a gap. */
function filled(rows: readonly StatsRow[], since: number, now: number, width: number): readonly StatsRow[] {
  if (rows.length === 0) return rows;
  const known = new Map(rows.map((row) => [Date.parse(row.start), row]));
  const all: StatsRow[] = [];
  for (let at = since - (since % width); at <= now; at += width) {
    all.push(known.get(at) ?? { ...NOTHING, start: new Date(at).toISOString() });
  }
  return all;
}

interface Sums {
  readonly requests: number;
  readonly errors: number;
  readonly fallbacks: number;
  readonly hedges: number;
  readonly tokens: number;
  readonly cached: number;
  readonly cost: number;
}

function sumOf(rows: readonly StatsRow[]): Sums {
  const add = (pick: (row: StatsRow) => number | null): number => rows.reduce((sum, row) => sum + (pick(row) ?? 0), 0);
  return {
    requests: add((row) => row.requests),
    errors: add((row) => row.errors),
    fallbacks: add((row) => row.fallbacks),
    hedges: add((row) => row.hedges),
    tokens: add((row) => row.prompt_tokens + row.completion_tokens),
    cached: add((row) => row.cached_tokens),
    cost: add((row) => row.cost_usd),
  };
}

interface AuditEntry {
  readonly at?: string;
  readonly created_at?: string;
  readonly action: string;
  readonly object?: string;
  readonly actor: string;
}

const POLICY_ACTIONS = /^route\./;

export function OverviewPage({ place, env, waiting }: PageProps) {
  const period = periodOf(place);
  const by = GROUPS.find((group) => group === place.query.get("by")) ?? "route";
  // Whole minutes, so that the address of the question stays while the page is read again.
  const now = Math.floor(Date.now() / 60_000) * 60_000;
  const iso = (ms: number): string => new Date(ms).toISOString();
  const [start, before] = [now - periodMs(period), now - 2 * periodMs(period)];
  const ask = (query: Readonly<Record<string, string>>): string => withQuery("/admin/stats", { env, ...query });
  const series = useLoad(
    `series ${period} ${env}`,
    () => call<Stats>(ask({ since: iso(start), bucket: BUCKETS[period] })),
    EVERY_MS,
  );
  const earlier = useLoad(`before ${period} ${env}`, () =>
    call<Stats>(ask({ since: iso(before), until: iso(start), bucket: BUCKETS[period] })),
  );
  const grouped = useLoad(`by ${by} ${period} ${env}`, () =>
    call<Stats>(ask({ since: iso(start), bucket: period === "month" ? "day" : "hour", group_by: by })),
  );
  const audit = useLoad(`marks ${period}`, () =>
    call<List<AuditEntry>>(withQuery("/admin/audit", { since: iso(start), limit: 100 })),
  );
  const rows = filled(series.data?.data ?? [], start, now, WIDTHS[BUCKETS[period]]);
  const sums = sumOf(rows);
  const past = earlier.data === null ? null : sumOf(earlier.data.data);
  const marks: Mark[] = (audit.data?.data ?? [])
    .filter(({ action }) => POLICY_ACTIONS.test(action))
    .slice(0, 12)
    .map(({ at, created_at, action, object, actor }) => ({
      at: Date.parse(at ?? created_at ?? ""),
      text: `${action} ${object ?? ""} by ${actor}`,
    }));
  const times = rows.map((row) => Date.parse(row.start));
  const traces = (query: Readonly<Record<string, string>>): string =>
    withQuery("/console/traces", { env, since: iso(start).slice(0, 16), ...query });
  const last = rows.findLast((row) => row.first_token_ms.p50 !== null) ?? null;
  const unit = BUCKETS[period];
  const earlierShare = (part: (of: Sums) => number): string =>
    past === null || past.requests === 0 ? "" : `${share(part(past), past.requests)} before`;
  const tiles: readonly (readonly [name: string, value: string, detail: string, address: string])[] = [
    ["Requests", count(sums.requests), change(sums.requests, past?.requests ?? null), traces({})],
    [
      "Success",
      share(sums.requests - sums.errors, sums.requests),
      earlierShare((of) => of.requests - of.errors) || `${count(sums.errors)} failed`,
      traces({ status: "error" }),
    ],
    [
      "Fell back",
      share(sums.fallbacks, sums.requests),
      earlierShare((of) => of.fallbacks) || `${count(sums.fallbacks)} requests`,
      traces({ fallback: "true" }),
    ],
    [
      "First token p50",
      duration(last?.first_token_ms.p50),
      last === null ? "" : `in the last ${unit} with traffic`,
      traces({}),
    ],
    [
      "First token p95",
      duration(last?.first_token_ms.p95),
      last === null ? "" : `in the last ${unit} with traffic`,
      traces({ min_total_ms: String(Math.round(last?.total_ms.p95 ?? 0)) }),
    ],
    ["Spend", usd(sums.cost), change(sums.cost, past?.cost ?? null), withQuery("/console/spend", { env })],
    ["Tokens", count(sums.tokens), `${share(sums.cached, sums.tokens)} from caches`, traces({})],
    ["Hedges", count(sums.hedges), `${share(sums.hedges, sums.requests)} of requests`, traces({})],
  ];
  return (
    <section>
      <header class="row">
        <h1>Overview</h1>
        <Choice
          label="Period"
          value={period}
          options={PERIOD_NAMES}
          onValue={(value) => setValues(place, { period: value })}
        />
      </header>
      <State of={series} asOf={series.data?.as_of} />
      <ul class="tiles">
        {tiles.map(([name, value, detail, address]) => (
          <li>
            <a href={address}>
              <span class="name">{name}</span>
              <span class="value">{series.data === null ? UNKNOWN : value}</span>
              <small>{series.data === null ? "" : detail}</small>
            </a>
          </li>
        ))}
      </ul>
      <Attention waiting={waiting.filter((approval) => env === "" || approval.env === env)} />
      {series.data === null ? null : rows.length === 0 ? (
        <Empty>
          No request in this period. Send the first one from the <a href="/console/playground">playground</a> or the{" "}
          <a href="/docs">developer channel</a>.
        </Empty>
      ) : (
        <div class="charts" key={`${period} ${env}`}>
          <Chart
            title="Requests"
            times={times}
            marks={marks}
            format={count}
            isBars
            series={[
              { name: "all", colour: "accent", values: rows.map((row) => row.requests) },
              { name: "fell back", colour: "slow", values: rows.map((row) => row.fallbacks) },
              { name: "failed", colour: "failed", values: rows.map((row) => row.errors) },
            ]}
          />
          <Chart
            title="First token"
            times={times}
            marks={marks}
            format={duration}
            series={[
              { name: "p50", colour: "accent", values: rows.map((row) => row.first_token_ms.p50) },
              { name: "p95", colour: "slow", values: rows.map((row) => row.first_token_ms.p95) },
            ]}
          />
          <Chart
            title="Spend"
            times={times}
            marks={marks}
            format={usd}
            isBars
            series={[{ name: "USD", colour: "ok", values: rows.map((row) => row.cost_usd) }]}
          />
        </div>
      )}
      <header class="row">
        <h2>By {by}</h2>
        <Choice
          label="Group by"
          value={by}
          options={GROUPS.map((group) => [group, group] as const)}
          onValue={(value) => setValues(place, { by: value })}
        />
      </header>
      <ByGroup by={by} of={grouped} addressOf={(query) => traces(query)} />
    </section>
  );
}

interface GroupRow extends Sums {
  readonly name: string;
  /** The highest of all buckets: no exact percentile can be made from several of them. */
  readonly worstFirstToken: number | null;
}

const NAMED_GROUPS: Readonly<Record<string, string>> = { key: "Key", env: "Env", api: "API" };

function ByGroup(props: {
  by: string;
  of: Loaded<Stats>;
  addressOf: (query: Readonly<Record<string, string>>) => string;
}) {
  const { by, of, addressOf } = props;
  const keys = useLoad(`names ${by === "key"}`, () =>
    by === "key"
      ? call<List<{ readonly id: string; readonly name: string }>>("/admin/keys?limit=1000")
      : Promise.resolve(EMPTY_LIST),
  );
  const groups = Map.groupBy(of.data?.data ?? [], (row) => row.group[by] ?? "");
  const sums: GroupRow[] = [...groups].map(([name, members]) => ({
    name,
    ...sumOf(members),
    worstFirstToken: members.reduce<number | null>((worst, { first_token_ms: { p95 } }) => {
      return p95 === null ? worst : Math.max(worst ?? 0, p95);
    }, null),
  }));
  const strip = (name: string): string => (by === "route" ? name.replace(/^flow\//, "") : name);
  const shown = (name: string): string =>
    name === "" ? "(none)" : (keys.data?.data.find(({ id }) => id === name)?.name ?? strip(name));
  const link = (name: string, text: string, query: Readonly<Record<string, string>> = {}) =>
    name === "" ? text : <a href={addressOf({ [by]: strip(name), ...query })}>{text}</a>;
  return (
    <Table
      caption={`By ${by}`}
      rows={sums.toSorted((left, right) => right.requests - left.requests)}
      keyOf={({ name }) => name}
      of={of}
      empty="Nothing in this period."
      columns={[
        {
          name: NAMED_GROUPS[by] ?? `${by.charAt(0).toUpperCase()}${by.slice(1)}`,
          show: ({ name }) => link(name, shown(name)),
          by: ({ name }) => shown(name),
          isCode: by !== "key" && by !== "app",
        },
        {
          name: "Requests",
          show: (row) => link(row.name, count(row.requests)),
          by: (row) => row.requests,
          numeric: true,
        },
        {
          name: "Success",
          show: (row) => link(row.name, share(row.requests - row.errors, row.requests), { status: "error" }),
          by: (row) => (row.requests === 0 ? null : 1 - row.errors / row.requests),
          numeric: true,
        },
        {
          name: "Fell back",
          show: (row) => link(row.name, share(row.fallbacks, row.requests), { fallback: "true" }),
          by: (row) => (row.requests === 0 ? null : row.fallbacks / row.requests),
          numeric: true,
        },
        {
          name: "First token p95, worst bucket",
          show: (row) => duration(row.worstFirstToken),
          by: (row) => row.worstFirstToken,
          numeric: true,
        },
        { name: "Tokens", show: (row) => count(row.tokens), by: (row) => row.tokens, numeric: true },
        { name: "Spend", show: (row) => usd(row.cost), by: (row) => row.cost, numeric: true },
      ]}
    />
  );
}

interface ProviderTargets {
  readonly id: string;
  readonly targets?: readonly {
    readonly model: string;
    readonly state?: string;
  }[];
}

interface BudgetState {
  readonly id: string;
  readonly limit_usd: number;
  readonly status?: { readonly spent_usd: number; readonly leased_usd?: number };
}

/** What wants a person: breakers that are open, budgets near their end, calls that wait. */
function Attention({ waiting }: { waiting: readonly Approval[] }) {
  const providers = useLoad(
    "attention providers",
    () => call<List<ProviderTargets>>("/admin/providers?configured=true"),
    EVERY_MS,
  );
  const budgets = useLoad("attention budgets", () => call<List<BudgetState>>("/admin/budgets"), EVERY_MS);
  const open = (providers.data?.data ?? []).flatMap(({ id, targets = [] }) =>
    targets.filter((target) => target.state === "open").map(({ model }) => `${id}/${model}`),
  );
  const near = (budgets.data?.data ?? []).filter(
    ({ limit_usd, status }) => status !== undefined && status.spent_usd >= 0.8 * limit_usd,
  );
  if (open.length + near.length + waiting.length === 0) return null;
  return (
    <ul class="attention">
      {open.map((target) => (
        <li class="failed">
          <a href="/console/providers">The breaker of {target} is open</a>
        </li>
      ))}
      {near.map(({ id, limit_usd, status }) => (
        <li class="slow">
          <a href="/console/budgets">
            Budget {id}: {usd(status?.spent_usd)} of {usd(limit_usd)}
          </a>
        </li>
      ))}
      {waiting.length === 0 ? null : (
        <li class="held">
          <a href="/console/approvals">
            {waiting.length} tool {waiting.length === 1 ? "call waits" : "calls wait"} for a decision
          </a>
        </li>
      )}
    </ul>
  );
}
