/** Spend by one or two dimensions, as a table and as CSV; what has no price and what no key was charged is shown. */
import { call, withQuery } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Chart } from "../parts/chart.tsx";
import { Choice, Field } from "../parts/field.tsx";
import { count, dayStart, usd } from "../parts/figures.ts";
import { Failure, State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { setValues } from "../place.ts";
import { saveCsv } from "../save.ts";
import type { SpendRow } from "../types.ts";

interface Spend {
  readonly data: readonly SpendRow[];
  readonly total_usd: number;
  readonly unpriced_requests: number;
  readonly unadmitted_usd: number;
  readonly as_of: string;
}

const GROUPS = ["key", "app", "env", "route", "provider", "model", "api"] as const;

/** The first of this month; in its first week the day thirty days ago. */
function monthStart(): string {
  const now = new Date();
  if (now.getUTCDate() >= 7) return `${now.toISOString().slice(0, 7)}-01`;
  // On the first days of a month, the month before is what a reader wants to see.
  return new Date(now.getTime() - 30 * DAY_MS).toISOString().slice(0, 10);
}

const DAY_MS = 86_400_000;
/** A longer range has bars too thin to see. */
const MOST_DAYS = 400;

/** Every day of the range, `2026-11-30`: one without a request is a day without spend, not a gap. */
function daysOf(since: string, until: string): readonly string[] {
  const start = Date.parse(dayStart(since));
  const end = until === "" ? Date.now() : Date.parse(dayStart(until));
  if (Number.isNaN(start) || Number.isNaN(end)) return [];
  const count = Math.min(MOST_DAYS, Math.max(1, Math.ceil((end - start) / DAY_MS)));
  return Array.from({ length: count }, (_, at) => new Date(start + at * DAY_MS).toISOString().slice(0, 10));
}

export function SpendPage({ place, env }: PageProps) {
  const { query } = place;
  const since = query.get("since") ?? monthStart();
  const until = query.get("until") ?? "";
  const first = query.get("by") ?? "route";
  const second = query.get("and") ?? "";
  const bucket = query.get("bucket") ?? "";
  const asked = {
    since: dayStart(since),
    until: dayStart(until),
    group_by: [first, second].filter((each) => each !== "").join(","),
  };
  const address = withQuery("/admin/spend", { ...asked, bucket });
  const spend = useLoad(address, () => call<Spend>(address));
  const daily = withQuery("/admin/spend", {
    since: dayStart(since),
    until: dayStart(until),
    group_by: "env",
    bucket: "day",
  });
  const days = useLoad(daily, () => call<Spend>(daily));
  const act = useAct();
  const save = (): void => {
    const csv = withQuery("/admin/spend", { ...asked, bucket, format: "csv" });
    void act.run(() => saveCsv(csv, `spend-${since}.csv`));
  };
  const groups = asked.group_by.split(",");
  const rows = (spend.data?.data ?? []).filter(
    ({ group }) => env === "" || group["env"] === undefined || group["env"] === env,
  );
  const perDay = Map.groupBy(days.data?.data ?? [], ({ start = "" }) => start.slice(0, 10));
  const times = daysOf(since, until);
  const isTag = (name: string): boolean => name.startsWith("tag.");
  const options = (isOptional: boolean): readonly (readonly [string, string])[] => [
    ...(isOptional ? [["", "nothing else"] as const] : []),
    ...GROUPS.map((group) => [group, group] as const),
    ...[first, second].filter(isTag).map((each) => [each, each] as const),
  ];
  return (
    <section>
      <header class="row">
        <h1>Spend</h1>
        <button type="button" onClick={save} disabled={act.isBusy}>
          Save CSV
        </button>
      </header>
      <div class="fields">
        <Field label="Since" type="date" value={since} onValue={(value) => setValues(place, { since: value })} />
        <Field
          label="Until"
          type="date"
          value={until}
          onValue={(value) => setValues(place, { until: value })}
          hint="Not included. Empty: now."
        />
        <Choice label="By" value={first} options={options(false)} onValue={(by) => setValues(place, { by })} />
        <Choice label="And by" value={second} options={options(true)} onValue={(and) => setValues(place, { and })} />
        <Choice
          label="Bucket"
          value={bucket}
          options={[
            ["", "the whole range"],
            ["day", "day"],
            ["month", "month"],
          ]}
          onValue={(value) => setValues(place, { bucket: value })}
        />
      </div>
      <State of={spend} asOf={spend.data?.as_of} />
      <Failure error={act.error} />
      {spend.data === null ? null : (
        <ul class="tiles">
          <li>
            <span class="name">Total</span>
            <span class="value">{usd(spend.data.total_usd)}</span>
          </li>
          <li>
            <span class="name">Requests without a price</span>
            <span class="value">{count(spend.data.unpriced_requests)}</span>
            <small>
              <a href="/console/prices">Give their models a price</a>, then reprice.
            </small>
          </li>
          <li>
            <span class="name">Not admitted</span>
            <span class="value">{usd(spend.data.unadmitted_usd)}</span>
            <small>What providers may bill for calls that a limit stopped: the deployment's, no key's.</small>
          </li>
        </ul>
      )}
      {days.error !== null && days.data === null ? null : (
        <Chart
          title="Spend per day"
          times={times.map((time) => Date.parse(time))}
          format={usd}
          isBars
          series={[
            {
              name: "USD",
              colour: "ok",
              values: times.map((time) =>
                (perDay.get(time) ?? [])
                  .filter(({ group }) => env === "" || group["env"] === env)
                  .reduce((sum, row) => sum + (row.cost_usd ?? 0), 0),
              ),
            },
          ]}
        />
      )}
      <Table
        caption="Spend"
        rows={rows}
        of={spend}
        keyOf={(row) => JSON.stringify([row.start, row.group])}
        empty="Nothing was spent in this range."
        columns={[
          ...(bucket === ""
            ? []
            : [
                {
                  name: "Start",
                  show: (row: SpendRow) => row.start?.slice(0, 10) ?? "",
                  by: (row: SpendRow) => row.start ?? "",
                },
              ]),
          ...groups.map((group) => ({
            name: `${group.charAt(0).toUpperCase()}${group.slice(1)}`,
            isCode: group === "route" || group === "model" || group === "provider",
            show: ({ group: values, names }: SpendRow) => names?.[group] ?? values[group] ?? "(none)",
            by: ({ group: values }: SpendRow) => values[group] ?? "",
          })),
          { name: "Requests", show: (row) => count(row.requests), by: (row) => row.requests, numeric: true },
          { name: "Without a price", show: (row) => count(row.unpriced_requests), numeric: true },
          {
            name: "Prompt tokens",
            show: (row) => count(row.prompt_tokens),
            by: (row) => row.prompt_tokens,
            numeric: true,
          },
          { name: "Cached", show: (row) => count(row.cached_tokens), numeric: true },
          {
            name: "Completion tokens",
            show: (row) => count(row.completion_tokens),
            by: (row) => row.completion_tokens,
            numeric: true,
          },
          { name: "USD", show: (row) => usd(row.cost_usd), by: (row) => row.cost_usd, numeric: true },
          {
            name: "Corrections",
            show: (row) => (row.adjustment_usd === 0 ? "" : usd(row.adjustment_usd)),
            numeric: true,
          },
        ]}
      />
    </section>
  );
}
